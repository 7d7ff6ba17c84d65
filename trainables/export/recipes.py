"""The code of an exported model's card: how each kind of task is predicted with plain transformers, as it was scored.

Each piece defines `predict`, from `read`, which gives a model's scores for rows of token ids (`card.py` writes it).
"""

from __future__ import annotations

CLASSIFICATION = '''
def predict(text, pair=None):
    """The label of a text, or of a pair of texts."""
    row = tokenizer(text, pair, truncation="longest_first", max_length=about["max_length"])["input_ids"]
    return about["labels"][int(read([row])[0].argmax())]
'''

TAGGING = '''
def predict(words):
    """The tag of each word, read from its first piece; long sentences are read in parts."""
    start, end = about["special_tokens"]["start"], about["special_tokens"]["end"]
    room = about["max_length"] - len(start) - len(end)
    rows, places = [[]], [[]]
    for pieces in tokenizer(words, add_special_tokens=False)["input_ids"]:
        pieces = (pieces or [about["tagging"]["unknown_id"]])[:room]
        if len(rows[-1]) + len(pieces) > room:
            rows.append([])
            places.append([])
        lone = len(pieces) > 1 and pieces[0] == about["tagging"]["blank_id"]
        places[-1].append(len(start) + len(rows[-1]) + lone)
        rows[-1] += pieces
    best = read([start + row + end for row in rows]).argmax(-1).tolist()
    return [about["labels"][numbers[place]] for numbers, own in zip(best, places) for place in own]
'''

SPAN = '''
def spelled(text, pieces):
    """The characters of each piece: without spaces, with what the tokenizer joins to its last one."""
    spans = []
    for (start, end), following in zip(pieces, [*(start for start, _ in pieces[1:]), len(text)]):
        while end < following and not text[end].isspace() and not unicodedata.category(text[end]).startswith("C"):
            end += 1
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        spans.append((start, end))
    return spans


def predict(question, context):
    """The answer as it stands in the context, read in windows; "" where there is none."""
    rule, (start, between, end) = about["span"], about["special_tokens"].values()
    room = about["max_length"] - len(start) - len(between) - len(end)
    asked = tokenizer(question, add_special_tokens=False)["input_ids"][: min(rule["question_length"], room // 2)]
    room -= len(asked)
    told = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    pieces, spans = told["input_ids"], spelled(context, told["offset_mapping"])
    firsts = [0]
    while firsts[-1] + room < len(pieces):
        firsts.append(firsts[-1] + min(rule["stride"], room))
    before = len(start) + len(asked) + len(between)
    rows = [start + asked + between + pieces[first : first + room] + end for first in firsts]
    best, answer, null = -torch.inf, "", torch.inf
    for first, scores in zip(firsts, read(rows)):
        null = min(null, float(scores[0].sum()))
        places = [n for n, (one, two) in enumerate(spans[first : first + room]) if one < two]
        if not places:
            continue
        begins, ends = scores[[before + n for n in places]].unbind(-1)
        far = torch.arange(len(places)) - torch.arange(len(places)).unsqueeze(1)
        sums = (begins.unsqueeze(1) + ends).masked_fill((far < 0) | (far >= rule["answer_length"]), -torch.inf)
        value, at = sums.flatten().max(0)
        if value > best:
            one, two = (spans[first + places[n]] for n in divmod(int(at), len(places)))
            best, answer = float(value), context[one[0] : two[1]]
    return "" if rule["may_be_unanswerable"] and null - best > rule["null_margin"] else answer
'''

CHOICE = '''
def predict(text, choices, question=None):
    """The index of the choice that goes best with the text; a question about the text stands before each choice."""
    start, between, end = about["special_tokens"].values()
    room = about["max_length"] - len(start) - len(between) - len(end)
    first = tokenizer(text, add_special_tokens=False)["input_ids"]
    rows = []
    for choice in choices:
        second = tokenizer(f"{question} {choice}" if question else choice, add_special_tokens=False)["input_ids"]
        second = second[-(room - 1) :]
        rows.append(start + first[: room - len(second)] + between + second + end)
    return int(read(rows).argmax())
'''

VECTORS = '''
def embed(texts):
    """A vector of length 1 for each text."""
    start, end = about["special_tokens"]["start"], about["special_tokens"]["end"]
    room = about["max_length"] - len(start) - len(end)
    rows = [start + row[:room] + end for row in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    found = []
    for at in range(0, len(rows), 32):
        for row, states in zip(rows[at : at + 32], read(rows[at : at + 32])):
            states = states[: len(row)]
            found.append(POOLED)
    return torch.nn.functional.normalize(torch.stack(found), dim=-1)
'''
"""`POOLED` stands for the pooling."""

RETRIEVAL = f'''{VECTORS}

def predict(text, candidates):
    """The index of the candidate that is nearest to the text: its translation."""
    return int((embed([text]) @ embed(candidates).T).argmax())
'''

MINING = f'''{VECTORS}

def predict(sources, targets, language):
    """Which sentences translate each other: (score, source, target), the best first, each sentence once."""
    rule, near = about["mining"], min(about["mining"]["neighbours"], len(sources), len(targets))
    cosines = embed(sources) @ embed(targets).T
    means = [table.topk(near).values.mean(1) for table in (cosines, cosines.T)]
    scores = 2 * cosines / (means[0].unsqueeze(1) + means[1]) if rule["score"] == "margin" else cosines
    pairs = {{}}
    for turned, table, close in ((False, scores, cosines), (True, scores.T, cosines.T)):
        values, at = table.masked_fill(~torch.zeros_like(close, dtype=bool).scatter(1, close.topk(near).indices, True),
                                       -torch.inf).max(1)
        for row, (value, other) in enumerate(zip(values.tolist(), at.tolist())):
            pair = (other, row) if turned else (row, other)
            pairs[pair] = max(value, pairs.get(pair, value))
    found, seen = [], (set(), set())
    for (one, two), score in sorted(pairs.items(), key=lambda entry: (-entry[1], entry[0])):
        if score >= rule["thresholds"][language] and one not in seen[0] and two not in seen[1]:
            found.append((score, one, two))
            seen[0].add(one)
            seen[1].add(two)
    return found
'''

TEXT = r'''
def ids_of(text):
    """The tokens of a part of a prompt."""
    if about["line_break"] != "\n":
        text = re.sub(r"\n+", about["line_break"], text)
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def prompt(language, most, draw, text, pair=None, choices=(), empty=False):
    """A prompt of at most `most` tokens: demonstrations that do not fit are left out, the first ones first."""
    template = about["template"]
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", choices))
    parts = {"text": text, "pair": pair or "", "choices": listed}
    pattern = (template["languages"].get(language) or {}).get("text") or template["text"]
    own = re.sub(r"\{([^{}]*)\}", lambda hole: "N/A" if empty else parts[hole[1]], pattern)
    shown = about["demonstrations"][language][draw]
    for dropped in range(len(shown) + 1):
        ids = about["special_tokens"]["start"] + ids_of("".join(shown[dropped:]) + own)
        if len(ids) <= most:
            return ids
    raise ValueError("the text is too long for the model: cut it")
'''

LIKELIEST = r'''

def likelihoods(ids, answers):
    """The log-likelihood of each answer, given by its tokens, after a prompt."""
    found = []
    for answer in answers:
        row = torch.tensor([ids + answer])
        with torch.no_grad():
            told = model(input_ids=row, attention_mask=torch.ones_like(row)).logits[0].log_softmax(-1)
        found.append(sum(float(told[len(ids) - 1 + n, token]) for n, token in enumerate(answer)))
    return found


def best(language, draw, texts, **parts):
    """The place of the likeliest answer; None where several are equally likely."""
    answers = [ids_of(text)[: about["room"] // 2] for text in texts]
    most = about["room"] - max(map(len, answers))
    scores = likelihoods(prompt(language, most, draw, **parts), answers)
    if about["scored_by"] == "pmi":
        prior = likelihoods(prompt(language, most, draw, **parts, empty=True), answers)
        scores = [one - other for one, other in zip(scores, prior)]
    elif about["scored_by"] == "token":
        scores = [score / len(answer) for score, answer in zip(scores, answers)]
    elif about["scored_by"] == "byte":
        scores = [score / len(text.encode()) for score, text in zip(scores, texts)]
    return scores.index(max(scores)) if scores.count(max(scores)) == 1 else None
'''

CLASSIFICATION_IN_TEXT = f'''{TEXT}{LIKELIEST}

def predict(text, pair=None, language="en", draw=0):
    """The label of a text, or of a pair of texts."""
    template = about["template"]
    answers = {{**template["answers"], **(template["languages"].get(language) or {{}}).get("answers", {{}})}}
    number = best(language, draw, [answers.get(one, f" {{one}}") for one in about["labels"]], text=text, pair=pair)
    return None if number is None else about["labels"][number]
'''

CHOICE_IN_TEXT = f'''{TEXT}{LIKELIEST}

def predict(text, choices, question=None, language="en", draw=0):
    """The index of the choice that is the likeliest continuation."""
    letters = about["template"]["choices"] == "letter"
    answers = [f" {{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[n] if letters else choice}}" for n, choice in enumerate(choices)]
    return best(language, draw, answers, text=text, pair=question, choices=choices)
'''

SPAN_IN_TEXT = f'''{TEXT}

def predict(question, context, language="en", draw=0):
    """The answer that is generated, the likeliest token each time, up to a line break; "" for none."""
    most = about["max_new_tokens"]
    ids = torch.tensor([prompt(language, about["room"] - min(most, about["room"] // 2), draw, question, context)])
    ends = [n for n in range(len(tokenizer)) if "\\n" in tokenizer.decode([n])]
    ends = sorted({{*ends, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])}})
    config = GenerationConfig(
        max_new_tokens=most, do_sample=False, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id
    )
    row = model.generate(
        ids, attention_mask=torch.ones_like(ids), generation_config=config, use_model_defaults=False
    )[0, ids.shape[1] :].tolist()
    row = row[: next((at for at, token in enumerate(row) if token in ends), len(row))]
    said = tokenizer.decode(row, skip_special_tokens=True).strip()
    template = about["template"]
    none = (template["languages"].get(language) or {{}}).get("unanswerable") or template["unanswerable"]
    same = said.strip(" .").casefold() == none.strip(" .").casefold()
    return "" if about["may_be_unanswerable"] and same else said
'''
