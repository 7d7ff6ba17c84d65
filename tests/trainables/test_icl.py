"""Decoders and in-context learning: scores as plain transformers gives them, demonstrations, texts too long."""

from __future__ import annotations

import math
import random
import shutil
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch

from trainables.batches import collate
from trainables.continuations import generate, logprobs
from trainables.data import DataSource
from trainables.decoder import Decoder, Prompt, Texts
from trainables.errors import Mistake
from trainables.evaluate import EvaluationSet, sets_of
from trainables.examples import Answer, Example, in_search_half
from trainables.icl import Demonstrations, balanced, choose, evaluate_icl, likelihoods, predict
from trainables.kinds.base import Feature
from trainables.kinds.forms import kind_of
from trainables.kinds.prompted import Prompted, Prompter, figures
from trainables.representations import sentence_vectors
from trainables.tasks import Retrieval, load_task
from trainables.templates import IclSettings

FAMILIES = ("xglm", "bloom", "qwen2")


@pytest.fixture(scope="module")
def data() -> DataSource:
    return DataSource()


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    from trainables.new_decoder import decoder_tokenizer

    return decoder_tokenizer(tiny_tokenizer)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tokenizer) -> dict[str, str]:
    """Decoders of two layers, 32 wide, with random weights, one of each family."""
    from transformers import (
        BloomConfig,
        BloomForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
        XGLMConfig,
        XGLMForCausalLM,
    )

    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "vocab_size": len(tokenizer)}
    configs: dict[str, tuple[Any, Any]] = {
        "xglm": (XGLMForCausalLM, XGLMConfig(
            d_model=32, ffn_dim=64, num_layers=2, attention_heads=2, max_position_embeddings=400, dropout=0.0,
            attention_dropout=0.0, activation_dropout=0.0, layerdrop=0.0, init_std=0.18, **special,
        )),
        "bloom": (BloomForCausalLM, BloomConfig(
            hidden_size=32, n_layer=2, n_head=2, seq_length=400, initializer_range=0.18, hidden_dropout=0.0,
            attention_dropout=0.0, **special,
        )),
        "qwen2": (Qwen2ForCausalLM, Qwen2Config(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            max_position_embeddings=400, initializer_range=0.18, tie_word_embeddings=False, **special,
        )),
    }  # fmt: skip
    found = {}
    for name, (kind, config) in configs.items():
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp(name)
        kind(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        found[name] = str(folder)
    return found


@pytest.fixture(scope="module")
def models(folders) -> dict[str, Decoder]:
    return {name: Decoder(folder).eval() for name, folder in folders.items()}


@pytest.fixture(scope="module")
def model(models) -> Decoder:
    return models["xglm"]


@pytest.fixture(scope="module")
def xnli(data):
    """The task, 4 English training examples as demonstrations, and 12 German test items."""
    task = load_task("mini-xnli", "test")
    shown = balanced(data.training(load_task("mini-nli", "test")), 4, random.Random(0))
    return task, shown, data.load(task, "test", ["de"])["de"][:12]


def plain_sum(lm, prompt: list[int], answer: list[int], *, kept: bool) -> float:
    """The log-likelihood of an answer by transformers alone: the output layer on the last states, or on all of them."""
    ids = torch.tensor([prompt + answer[:-1]])
    if kept:
        logits = lm.get_output_embeddings()(lm.base_model(input_ids=ids).last_hidden_state[:, -len(answer) :])[0]
    else:
        logits = lm(input_ids=ids).logits[0, -len(answer) :]
    found = logits.log_softmax(-1)
    return math.fsum(float(found[place, token]) for place, token in enumerate(answer))


# --- equal to plain transformers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_scores_equal_plain_transformers_exactly_one_prompt_at_a_time(models, folders, xnli, family):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    task, shown, examples = xnli
    lm = AutoModelForCausalLM.from_pretrained(folders[family]).eval()
    tokenizer = AutoTokenizer.from_pretrained(folders[family])
    words = (" yes", " maybe", " no")
    before = "".join(f"Known: {e.text}\nClaim: {e.pair}\nAnswer:{words[task.labels.index(e.label)]}\n\n" for e in shown)
    prompter = Prompter(task, models[family].texts, models[family].positions)
    given = [prompter.template.demonstration(task, example) for example in shown]
    prompts = [prompter.prompt(example, given) for example in examples]
    batched = logprobs(models[family], prompts, prompter.texts.prompt("".join(given)))
    single = logprobs(models[family], prompts, tokens=1)
    right = 0
    for example, prompt, one, many in zip(examples, prompts, single, batched, strict=True):
        ids = tokenizer(f"{before}Known: {example.text}\nClaim: {example.pair}\nAnswer:")["input_ids"]
        answers = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
        assert prompt == Prompt(ids, answers)
        plain = [plain_sum(lm, ids, answer, kept=True) for answer in answers]
        # Each answer by itself, as the reference does: then the arithmetic is the same to the last bit.
        alone = [logprobs(models[family], [Prompt(ids, [answer])], tokens=1)[0][0] for answer in answers]
        assert [math.fsum(values) for values in alone] == plain
        assert [math.fsum(values) for values in one] == pytest.approx(plain, abs=1e-5)
        assert [math.fsum(values) for values in many] == pytest.approx(plain, abs=1e-5)
        whole = [plain_sum(lm, ids, answer, kept=False) for answer in answers]
        assert whole == pytest.approx(plain, abs=1e-5)
        right += task.labels[whole.index(max(whole))] == example.label
    predicted = predict(models[family], task, examples, shown, IclSettings(score="sum"))
    assert sum(p == e.label for p, e in zip(predicted, examples, strict=True)) == right


@torch.no_grad()
def test_logits_to_keep_is_the_same_arithmetic(models, folders, xnli):
    """Qwen's own forward scores the last positions alone when asked to: the very same numbers."""
    from transformers import AutoModelForCausalLM

    task, _, examples = xnli
    lm = AutoModelForCausalLM.from_pretrained(folders["qwen2"]).eval()
    prompter = Prompter(task, models["qwen2"].texts, 400)
    for example in examples[:4]:
        prompt = prompter.prompt(example)
        for answer in prompt.answers:
            ids = torch.tensor([prompt.ids + answer[:-1]])
            found = lm(input_ids=ids, logits_to_keep=len(answer)).logits[0].log_softmax(-1)
            own = logprobs(models["qwen2"], [Prompt(prompt.ids, [answer])], tokens=1)[0][0]
            assert own == [float(found[place, token]) for place, token in enumerate(answer)]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_generated_answers_equal_plain_greedy_decoding(models, folders, data, family):
    from transformers import AutoModelForCausalLM

    lm = AutoModelForCausalLM.from_pretrained(folders[family]).eval()
    task = load_task("mini-xquad", "test")
    texts = models[family].texts
    prompter = Prompter(task, texts, 400)
    prompts = [prompter.question(e, (), 6) for e in data.load(task, "test", ["fi"])["fi"][:8]]
    prompts += prompts[:2]  # two of one length at least
    for prompt, said in zip(prompts, generate(models[family], prompts, 6), strict=True):
        ids = list(prompt)
        for _ in range(6):
            best = int(lm(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            if best in texts.ends:
                break
            ids.append(best)
        assert said == models[family].tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True).strip()


# --- the decoder ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_padding_changes_nothing_and_each_state_stands_at_its_own_token(models, family):
    model = models[family]
    short, long = list(range(5, 15)), list(range(20, 50))
    ids = torch.tensor([short + [1] * 20, long])
    mask = torch.tensor([[1] * 10 + [0] * 20, [1] * 30])
    alone, own = torch.tensor([short]), torch.ones(1, 10, dtype=torch.long)
    torch.testing.assert_close(
        model.token_logprobs(ids, mask)[0, :10], model.token_logprobs(alone, own)[0], atol=1e-5, rtol=0
    )
    assert not model.token_logprobs(ids, mask)[0, 10:].any() and not model.token_logprobs(ids, mask)[:, 0].any()
    states = model.states(ids, mask)
    torch.testing.assert_close(states[0, :10], model.states(alone, own)[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(states[:, 0], model.states(ids[:, :1], mask[:, :1])[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(model.states(ids, mask, -2), model.all_states(ids, mask)[-2])


@pytest.mark.parametrize("kind", ["retrieval", "mining"])
@pytest.mark.parametrize(("pooling", "layer"), [("mean", -1), ("mean", 1), ("first", -1), ("first", 1)])
@torch.no_grad()
def test_a_sentence_is_the_mean_of_all_its_tokens_or_the_last_one(model, kind, pooling, layer):
    task = load_task("mini-tatoeba", "test").model_copy(
        update={"kind": kind, "retrieval": Retrieval(layer=layer, pooling=pooling)}
    )
    rows = [list(range(5, 15)), list(range(20, 50))]
    batch = collate("", [Feature(n, row) for n, row in enumerate(rows)], 1, model.device)
    vectors = kind_of(task, model).predict(
        task, None, model.states(batch.ids, batch.mask, layer), batch.mask, batch.features
    )
    for row, vector in zip(rows, vectors, strict=True):
        states = model.encoder.base_model(torch.tensor([row]), output_hidden_states=True).hidden_states[layer][0]
        own = states.mean(0) if pooling == "mean" else states[-1]
        torch.testing.assert_close(vector, own / own.norm(), atol=1e-5, rtol=0)


@torch.no_grad()
def test_representations_are_means_of_all_tokens(model, data):
    task = load_task("mini-tatoeba", "test")
    examples = data.load(task, "test", ["de"])["de"][:3]
    (part,) = sets_of(task, {("test", "de"): examples}, model)
    found = sentence_vectors(model, task, part)
    for place, feature in enumerate(part.features):
        out = model.encoder.base_model(torch.tensor([feature.ids]), output_hidden_states=True)
        own = torch.stack([states[0].mean(0) for states in out.hidden_states])
        torch.testing.assert_close(found[:, place], own / own.norm(dim=-1, keepdim=True), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_weights_tied_or_not_are_stored_once_and_load_back_bitwise(folders, family):
    model = Decoder(folders[family])
    ids, mask = torch.tensor([[0, 7, 8, 9, 10]]), torch.ones(1, 5, dtype=torch.long)
    base = model.token_logprobs(ids, mask)
    generator = torch.Generator().manual_seed(1)
    model.requires_grad_(True)
    for parameter in model.parameters():
        parameter += torch.randn(parameter.shape, generator=generator) * 0.05
    stored, changed = model.tuned(), model.token_logprobs(ids, mask)
    assert not torch.equal(base, changed)
    sizes = [p.numel() for p in model.encoder.parameters()]
    assert sum(t.numel() for t in stored.values()) == sum(sizes)
    assert any("lm_head" in name for name in stored) == (family == "qwen2")
    fresh = Decoder(folders[family])
    fresh.reset(stored)
    assert torch.equal(fresh.token_logprobs(ids, mask), changed)
    fresh.reset()
    assert torch.equal(fresh.token_logprobs(ids, mask), base)


def test_a_tokenizer_without_padding_pads_with_its_end_of_text(folders, tokenizer, tmp_path):
    shutil.copytree(folders["qwen2"], tmp_path, dirs_exist_ok=True)
    end = tokenizer.eos_token
    bare = type(tokenizer)(tokenizer_object=tokenizer._tokenizer, eos_token=end)
    bare.save_pretrained(tmp_path)
    (tmp_path / "special_tokens_map.json").unlink()
    assert Decoder(str(tmp_path)).tokenizer.pad_token == end


def test_a_model_that_changes_its_scores_after_the_output_layer_is_refused(tokenizer, tmp_path):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.5, pad_token_id=1,
    )  # fmt: skip
    Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(Mistake, match="after the output layer"):
        Decoder(str(tmp_path))


def test_where_a_tokenizer_reads_line_breaks_as_spaces_the_end_of_text_stands_for_them(tiny_tokenizer, tokenizer):
    assert Texts(tokenizer).line_break == "\n"
    blind = Texts(tiny_tokenizer)
    assert blind.line_break == "</s>"
    assert blind.begin == [0]
    ends = [token for token in blind.prompt("Anna\n\nLeo") if token == 2]
    assert ends == [2] and 2 in blind.ends


# --- scores, draws and rows -------------------------------------------------------------------------------------------


@torch.no_grad()
def test_scores_are_sums_or_means_or_calibrated(model, data):
    task = load_task("mini-swag", "test")
    examples = data.load(task, "dev", ["en"])["en"][:5]
    prompter = Prompter(task, model.texts, model.positions)

    def found(score: str) -> list[list[float]]:
        return likelihoods(model, prompter, examples, [], [], IclSettings(score=score))

    sums = found("sum")
    for place, example in enumerate(examples):
        prompt = prompter.prompt(example)
        empty = logprobs(model, [prompter.prompt(example, empty=True)])[0]
        assert len(set(map(len, prompt.answers))) > 1  # else lengths would not matter
        for n, choice in enumerate(example.choices):
            assert found("token")[place][n] == sums[place][n] / len(prompt.answers[n])
            assert found("byte")[place][n] == sums[place][n] / (len(choice.encode()) + 1)
            assert found("pmi")[place][n] == pytest.approx(sums[place][n] - math.fsum(empty[n]), abs=1e-4)


@torch.no_grad()
def test_the_calibrating_prompt_stands_after_the_demonstrations_of_the_prompt_itself(model, xnli):
    """Where a long prompt has no room for some, the short one that says nothing leaves them out too."""
    task, shown, examples = xnli
    before = [Prompter(task, model.texts, 400).template.demonstration(task, example) for example in shown]
    whole = Prompter(task, model.texts, 400).prompt(examples[0], before)
    prompter = Prompter(task, model.texts, len(whole.ids) + max(map(len, whole.answers)) - 5)
    prompt, empty = prompter.with_empty(examples[0], before)
    assert whole.dropped == 0 and prompt.dropped > 0
    assert prompter.prompt(examples[0], before, empty=True).dropped == 0  # it alone would have room for all
    kept = model.texts.prompt("".join(before[prompt.dropped :]))
    assert empty.ids[: len(kept) - 2] == prompt.ids[: len(kept) - 2] == kept[:-2]
    ((own, prior), (found,)) = (
        [[math.fsum(tokens) for tokens in row] for row in logprobs(model, [prompt, empty])],
        likelihoods(
            model, prompter, examples[:1], before, model.texts.prompt("".join(before)), IclSettings(score="pmi")
        ),
    )
    assert found == pytest.approx([a - b for a, b in zip(own, prior, strict=True)], abs=1e-4)


def test_both_prompts_lose_what_one_has_no_room_for(model, xnli):
    """A text may be shorter than what stands for none."""
    task, shown, examples = xnli
    before = [Prompter(task, model.texts, 400).template.demonstration(task, example) for example in shown]
    short = replace(examples[0], text="a", pair="b")
    whole = Prompter(task, model.texts, 400).prompt(short, before)
    prompter = Prompter(task, model.texts, len(whole.ids) + max(map(len, whole.answers)))
    assert prompter.prompt(short, before).dropped == 0
    assert prompter.prompt(short, before, empty=True).dropped == 1
    prompt, empty = prompter.with_empty(short, before)
    kept = model.texts.prompt("".join(before[1:]))
    assert empty.ids[: len(kept) - 2] == prompt.ids[: len(kept) - 2] == kept[:-2]


def test_ties_fail(folders, data):
    assert choose([1.0, 3.0, 2.0]) == 1
    assert choose([3.0, 1.0, 3.0]) is None
    indifferent = Decoder(folders["xglm"])
    with torch.no_grad():
        for parameter in indifferent.parameters():
            parameter.zero_()
    task = load_task("mini-xnli", "test")
    sets = [EvaluationSet("test", "de", data.load(task, "test", ["de"])["de"][:9], [])]
    rows, items = evaluate_icl(indifferent, task, sets, Demonstrations(), IclSettings(shots=0), 0)
    assert {row["value"] for row in rows} == {0.0} and {item["score"] for item in items} == {0.0}
    assert not figures(task, sets[0].examples[0], None)["accuracy"]


def test_rows_are_means_over_draws_and_each_draw_is_told(model, data):
    task, training = load_task("mini-xnli", "test"), load_task("mini-nli", "test")
    settings = IclSettings(shots=3, score="sum")
    shown = Demonstrations.of(data, task, training, ["de", "zh"], settings)
    sets = [EvaluationSet("dev", "en", data.load(training, "dev", ["en"])["en"][:10], [])]
    sets += [EvaluationSet("test", code, rows[:24], []) for code, rows in data.load(task, "test", ["de", "zh"]).items()]
    rows, items = evaluate_icl(model, task, sets, shown, settings, seed=7)
    assert evaluate_icl(model, task, sets, shown, settings, seed=7) == (rows, items)
    by_key = {(row["language"], row["portion"], row["metric"]): row for row in rows}
    assert {key[:2] for key in by_key} == {
        ("en", "dev"), *((code, portion) for code in ("de", "zh") for portion in ("test", "search", "report"))
    }  # fmt: skip
    for (language, portion, metric), row in by_key.items():
        assert list(row) == ["language", "portion", "metric", "main", "value", "n", "stderr"]
        assert row["main"] == (metric == "accuracy")
        draws = [by_key[language, portion, f"accuracy_draw_{n}"]["value"] for n in (1, 2, 3)]
        if row["main"]:
            assert row["value"] == pytest.approx(sum(draws) / 3)
    own = [item["score"] for item in items if item["language"] == "de"]
    assert len(own) == 24 and sum(own) / 24 == pytest.approx(by_key["de", "test", "accuracy"]["value"])
    halves = [in_search_half(example.id) for example in sets[1].examples]
    assert by_key["de", "search", "accuracy"]["n"] == sum(halves)
    assert {row["metric"] for row in evaluate_icl(model, task, sets[:1], Demonstrations(), settings, 0)[0]} == {
        "accuracy"
    }


def test_demonstrations_are_drawn_by_seed_balanced_and_the_same_in_every_language(data):
    task, training = load_task("mini-xnli", "test"), load_task("mini-nli", "test")
    settings = IclSettings(shots=6)
    shown = Demonstrations.of(data, task, training, ["de", "zh"], settings)
    drawn = [[e.id for e in shown.draw(task, "de", settings, 0, n)] for n in (1, 2, 3)]
    assert drawn[0] == [e.id for e in shown.draw(task, "zh", settings, 0, 1)]
    assert len({tuple(ids) for ids in drawn}) == 3
    assert drawn[0] != [e.id for e in shown.draw(task, "de", settings, 1, 1)]
    six = shown.draw(task, "de", settings, 0, 1)
    assert set(Counter(e.label for e in six).values()) == {2} and {e.lang for e in six} == {"en"}
    assert not shown.held_out
    with pytest.raises(Mistake, match="no English training set"):
        Demonstrations.of(data, task, None, ["de"], settings)


def test_few_shot_demonstrations_are_never_scored_items(model, data):
    task, training = load_task("mini-xnli", "test"), load_task("mini-nli", "test")
    settings = IclSettings(shots=2, demonstrations="target")
    shown = Demonstrations.of(data, task, training, ["en", "de"], settings)
    drawn = [e for n in (1, 2, 3) for e in shown.draw(task, "de", settings, 0, n)]
    assert {e.lang for e in drawn} == {"de"} and {e.id for e in drawn} <= shown.held_out
    assert {e.lang for e in shown.draw(task, "en", settings, 0, 1)} == {"en"}
    sets = [EvaluationSet("test", code, rows[:30], []) for code, rows in data.load(task, "test", ["en", "de"]).items()]
    _, items = evaluate_icl(model, task, sets, shown, settings, 0)
    assert items and not {item["id"] for item in items} & shown.held_out
    assert 30 - len(items) / 2 == len({e.id for e in sets[0].examples} & shown.held_out)


def test_few_shot_demonstrations_come_from_a_dev_set_where_there_is_one(data_dir):
    data = DataSource(str(data_dir), limit=40)
    task, training = load_task("xnli", "test"), load_task("mnli", "test")
    settings = IclSettings(demonstrations="target")
    shown = Demonstrations.of(data, task, training, ["en", "sw"], settings)
    assert {e.id for e in shown.pools["sw"]} == {e.id for e in data.load(task, "dev", ["sw"])["sw"]}
    assert not shown.held_out


# --- texts that are too long ------------------------------------------------------------------------------------------


def test_what_is_too_long_loses_demonstrations_from_the_front_then_its_longest_text(model, xnli):
    task, shown, examples = xnli
    texts = model.texts
    given = [Prompter(task, texts, 400).template.demonstration(task, example) for example in shown]
    last_two = texts.prompt("".join(given[2:]))
    room = len(Prompter(task, texts, 400).prompt(examples[0], given[2:]).ids) + 2
    fitted = Prompter(task, texts, room).prompt(examples[0], given)
    assert fitted.ids[: len(last_two) - 2] == last_two[:-2]
    long = replace(examples[0], text=examples[0].text * 40)
    prompter = Prompter(task, texts, 60)
    prompt = prompter.prompt(long, given)
    assert 50 < len(prompt.ids) <= 60 - max(map(len, prompt.answers))
    said = model.tokenizer.decode(prompt.ids)
    assert str(examples[0].pair) in said and said.endswith("Answer:")
    tiny = Prompter(task, texts, 12).prompt(replace(long, pair=long.text), given)
    assert 0 < len(tiny.ids) + max(map(len, tiny.answers)) <= 12


def test_long_contexts_and_answers_never_crash(model):
    task = load_task("mini-xquad", "test")
    context = "Anna is in the garden. " * 300
    example = Example("1", "en", text="Where is Anna?", pair=context, answers=(Answer(context.strip(), 0),))
    sets = [EvaluationSet("test", "en", [example], [])]
    settings = IclSettings(shots=2, max_new_tokens=4)
    rows, _ = evaluate_icl(model, task, sets, Demonstrations({"en": [example, example]}), settings, 0)
    assert [row["metric"] for row in rows if row["portion"] == "test"][:3] == ["f1_em", "f1", "exact_match"]
    features = Prompted().encode(task, [example], model.tokenizer, 100)
    assert features[0].length <= 100


# --- fine-tuning in text form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mini-nli", "mini-csqa", "mini-squad"])
def test_the_loss_is_that_of_the_right_answers_tokens(folders, data, name):
    model = Decoder(folders["xglm"]).eval()
    task, kind = load_task(name, "test"), Prompted()
    examples = data.load(task, "train", ["en"])["en"][:6]
    features = kind.encode(task, examples, model.tokenizer, 300)
    batch = collate(name, features, 1, model.device)
    head = kind.head(task, model)
    loss = kind.loss(head, model.states(batch.ids, batch.mask), batch.labels, batch.features)
    found = []
    for feature, example in zip(features, examples, strict=True):
        row = feature.rows[int(feature.label)]
        own = model.token_logprobs(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long))[0]
        found += own[feature.positions[0] :].tolist()
        answer = model.tokenizer.decode(row[feature.positions[0] :]).strip()
        right = {"mini-nli": {"entailment": "yes", "neutral": "maybe", "contradiction": "no"}.get(str(example.label))}
        right |= {"mini-squad": example.answers[0].text if example.answers else ""}
        right |= {"mini-csqa": example.choices[int(str(example.label))] if example.choices else ""}
        assert answer == right[name]
    assert loss.item() == pytest.approx(-sum(found) / len(found), abs=1e-5)
    alone = kind.training(features)
    assert all(len(feature.rows) == 1 for feature in alone)
    small = collate(name, alone, 1, model.device)
    again = kind.loss(head, model.states(small.ids, small.mask), small.labels, small.features)
    assert again.item() == pytest.approx(loss.item(), abs=1e-5)
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.encoder.parameters())
    assert not list(head.parameters())


def test_a_text_form_is_not_scored_from_states(model, data):
    """But by `evaluate_icl`, under the rule of the study."""
    task, kind = load_task("mini-xnli", "test"), Prompted()
    examples = data.load(task, "test", ["fr"])["fr"][:10]
    features = kind.encode(task, examples, model.tokenizer, 300)
    batch = collate("x", features, 1, model.device)
    with pytest.raises(ValueError, match="not predicted from states"):
        kind.predict(task, None, model.states(batch.ids, batch.mask), batch.mask, features)
    predicted = predict(model, task, examples, [], IclSettings())
    result = kind.score(task, examples, features, predicted)
    assert result.items == [float(p == e.label) for p, e in zip(predicted, examples, strict=True)]
    assert result.metrics[0].value == sum(result.items) / 10


def test_a_few_steps_teach_a_decoder_its_answers(folders, data):
    model = Decoder(folders["xglm"])
    task, kind = load_task("mini-squad", "test"), Prompted()
    examples = data.load(task, "train", ["en"])["en"][:4]
    features = kind.training(kind.encode(task, examples, model.tokenizer, 300))
    batch = collate("x", features, 1, model.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        loss = kind.loss(kind.head(task, model), model.states(batch.ids, batch.mask), batch.labels, batch.features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    said = predict(model, task, examples, [], IclSettings(shots=0))
    assert [figures(task, e, a)["exact_match"] for e, a in zip(examples, said, strict=True)] == [1.0] * 4


def test_an_answer_that_there_is_none_is_empty_where_that_may_be():
    texts: Any = None
    two, one = (Prompter(load_task(name, "test"), texts, 100) for name in ("mini-squad2", "mini-squad"))
    nothing = Example("1", "en", text="When?", pair="In Rome.")
    assert two.answer("Unanswerable.", nothing) == "" and one.answer("Unanswerable.", nothing) == "Unanswerable."
    assert figures(two.task, nothing, "")["f1_em"] == 1.0
    assert figures(two.task, nothing, "in Rome")["f1_em"] == 0.0
    right = Example("1", "en", answers=(Answer("In Rome", 0),))
    assert figures(two.task, right, "Rome") == pytest.approx({"f1_em": 1 / 3, "f1": 2 / 3, "exact_match": 0.0})
