"""`order-search validate`: a task file and its data, read and encoded as a run would, and told before one is started.

What is wrong would end a run or spoil its figures, and gives the exit code 2; what is only worth knowing is a remark.
"""

from __future__ import annotations

import json
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainables.data import DataSource
from trainables.errors import Mistake, Mistakes, nearest
from trainables.examples import Example, Split
from trainables.fingerprint import model_path
from trainables.languages import LANGUAGES, sides
from trainables.model_files import safely
from trainables.reading import ByLanguage
from trainables.tasks import Task, load_task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Row = dict[str, Any]
Found = TypeVar("Found")

SPLITS: tuple[Split, ...] = ("train", "dev", "test")

SAMPLED = 1000
"""Examples of a split and language whose tokens are counted at most: enough for a median, and soon done."""

UNCUT = 10**6
"""A length that no example has: encoded with it, an example shows how long it is."""

TOLD = 20
"""Lines of bad rows that are shown: one screen."""

LABELS_SHOWN = 12
"""Labels that a line counts, as far as it is wide enough: the most frequent ones."""

ROLES = ("id", "lang", "text", "pair", "label", "words", "tags", "answers", "choices")
"""What `fields` may give the names of fields for."""

TOO_LONG = {
    "classification": "cut, the longer text first", "tagging": "divided into parts", "span": "read in windows",
    "choice": "cut, the context first", "retrieval": "cut", "mining": "cut", "masked_lm": "cut",
}  # fmt: skip
"""What becomes of an example that is longer than `max_length`."""


@dataclass
class Report:
    """What was found out about a task: figures, examples, what is wrong, and what is worth knowing."""

    task: Task
    figures: list[Row] = field(default_factory=list)
    examples: list[Row] = field(default_factory=list)
    wrong: list[Mistake] = field(default_factory=list)
    bad_rows: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether a run could use the task as it is."""
        return not self.wrong and not self.bad_rows

    def attempt(self, instead: Found, do: Callable[..., Found], *about: Any) -> Found:
        """What `do` gives; a mistake is noted, so that what else is wrong is told with it."""
        try:
            return do(*about)
        except Mistake as mistake:
            known = {str(one) for one in self.wrong}
            parts = mistake.mistakes if isinstance(mistake, Mistakes) else [mistake]
            self.wrong += [part for part in parts if str(part) not in known]
            return instead

    def remark(self, what: str, things: Iterable[str]) -> None:
        """A line that names things, if there are any."""
        named = list(things)
        if named:
            self.remarks.append(f"{what}: {', '.join(named)}")


def validate(name: str, data_dir: str | None, model: str, count: int, form: str, console: Console) -> bool:
    """Tell about a task, by its file or its name; whether nothing is wrong with it."""
    report = look(name, data_dir, model, count)
    if form == "json":
        console.file.write(json.dumps(as_json(report), indent=1) + "\n")
    else:
        print_report(report, console)
    return report.clean


def look(name: str, data_dir: str | None, model: str, count: int) -> Report:
    """Read all splits of a task, skipping bad rows, and encode `count` examples of each language."""
    task = load_task(name, "order-search validate")
    data = DataSource(data_dir, on_bad_row="skip")
    report = Report(task)
    report.wrong += _misfits(task)
    task = report.attempt(task, data.resolved, task)
    tried = {split: report.attempt(None, data.load, task, split) for split in SPLITS if _has(task, split)}
    found = {split: by_language for split, by_language in tried.items() if by_language is not None}
    training = _training(report, data, task)
    tokenizer = report.attempt(None, _tokenizer, model)
    for split, by_language in found.items():
        for code, examples in by_language.items():
            report.figures.append({"split": split, "language": code, **_figures(task, examples)})
            if tokenizer and (task.labels or not task.labels_from_train):
                report.figures[-1]["tokens"] = _tokens(task, examples, tokenizer)
                shown = _encoded(task, spread(examples, count), tokenizer)
                report.examples += [{"split": split, "language": code, **row} for row in shown]
    report.bad_rows = [row._asdict() for row in data.skipped]
    _remark_languages(report, task, found)
    _remark_gaps(report, task, [split for split, by_language in tried.items() if by_language != {}])
    _remark_training(report, task, found, training)
    return report


def _has(task: Task, split: Split) -> bool:
    """Whether a task's source may have a split."""
    source = task.source
    return bool(source.mini or source.tasks or source.ccgbank) or split in source.splits


def _training(report: Report, data: DataSource, task: Task) -> list[Example]:
    """What a target is trained on: its own English training set, or another task's; nothing for retrieval."""
    if task.trained_on is None:
        return []
    if task.trained_on == task.name:
        return report.attempt([], data.training, task)
    where = f"task {task.name}, key 'train'"
    other = report.attempt(None, load_task, str(task.train), where)
    other = other and report.attempt(None, data.resolved, other)
    if other and (other.kind, other.labels) != (task.kind, task.labels):
        what = f"'{task.name}' cannot be trained on '{other.name}': its kind or its labels are others"
        report.wrong.append(Mistake(what, where=where, right="a task of the same kind with the same labels"))
    return report.attempt([], data.training, other) if other else []


# --- what a task's file leaves open -----------------------------------------------------------------------------------


def _misfits(task: Task) -> list[Mistake]:
    """What is well-formed in a task's file and yet cannot be meant."""
    found = []
    for role, path in task.fields.items():
        where = f"task {task.name}, key 'fields.{role}'"
        if role not in ROLES:
            found.append(Mistake(f"unknown role '{role}'", where=where, right=nearest(role, ROLES)))
        elif isinstance(path, list) and role not in ("choices", "tags"):
            found.append(Mistake(f"the {role} is one field, not a list", where=where, right="one name"))
    indices = [str(index) for index in range(5)] if task.kind == "choice" else task.labels
    for value, label in task.label_values.items():
        if indices and label not in indices:
            where = f"task {task.name}, key 'label_values.{value}'"
            found.append(Mistake(f"unknown label '{label}'", where=where, right=nearest(label, indices)))
    for key, names in (("labels", task.labels), ("languages", [*task.languages, *task.extra_languages])):
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            what = f"named twice: {', '.join(twice)}"
            found.append(Mistake(what, where=f"task {task.name}, key '{key}'", right="each once"))
    return found


# --- figures ----------------------------------------------------------------------------------------------------------


def _figures(task: Task, examples: Sequence[Example]) -> Row:
    """How many examples there are, their labels, and what else counts for their kind."""
    labels = labels_of(examples)
    ordered = sorted(labels.items()) if task.kind == "choice" else labels.most_common()
    return {"examples": len(examples), "labels": dict(ordered), **_about(task, examples)}


def labels_of(examples: Iterable[Example]) -> Counter[str]:
    """How often each label, tag or index of a right choice occurs."""
    return Counter(
        label for e in examples for label in (e.tags or ([e.label] if e.label is not None else []))
    )  # fmt: skip


def _about(task: Task, examples: Sequence[Example]) -> Row:
    match task.kind:
        case "span":
            texts = [answer.text for example in examples for answer in example.answers]
            return {
                "answered": sum(bool(example.answers) for example in examples), "answers": len(texts),
                "answer_characters": statistics.median(map(len, texts)) if texts else None,
            }  # fmt: skip
        case "choice":
            return {"choices": dict(sorted(Counter(len(example.choices) for example in examples).items()))}
        case "mining":
            return {"pairs": sum(e.label == "source" and e.pair is not None for e in examples)}
        case _:
            return {}


def spread(examples: Sequence[Example], count: int) -> list[Example]:
    """That many of the examples at most, from all over."""
    step = max(1, len(examples) // count) if count else 1
    return list(examples[::step][:count])


# --- tokens -----------------------------------------------------------------------------------------------------------


def _tokenizer(model: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer, loaded as a worker does."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # that examples are long is told here, by their number
    where = safely(model_path(model))
    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call]
            **where, use_fast=True
        )
    except (OSError, ValueError) as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        right = "micro, a folder that holds a model, or a hub id and a connection to the hub"
        raise Mistake(f"the tokenizer cannot be loaded: {told}", where=f"--model {model}", right=right) from error
    return found


def _tokens(task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> Row:
    """Lengths in tokens of up to `SAMPLED` examples, and the share of tokens that the vocabulary does not have."""
    from trainables.kinds import KINDS

    # Masked copies would count a text several times, and masks hide what is unknown.
    kind = KINDS["mining" if task.kind == "masked_lm" else task.kind]
    sample = spread(examples, SAMPLED)
    lengths: dict[int, int] = {}
    pieces: Counter[int] = Counter()
    for feature in kind.encode(task, sample, tokenizer, UNCUT):
        lengths[feature.item] = max(feature.length, lengths.get(feature.item, 0))
        pieces.update(number for row in feature.rows for number in row)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    total = sum(times for number, times in pieces.items() if number not in special)
    unknown = sum(pieces[number] for number in _unknown(tokenizer))
    return {
        "of": len(sample), "median": statistics.median(lengths.values()), "longest": max(lengths.values()),
        "longer": sum(length > task.max_length for length in lengths.values()), "max_length": task.max_length,
        "longer_are": TOO_LONG[task.kind], "unknown": unknown / total if total else 0.0,
    }  # fmt: skip


def _unknown(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that stand for what the vocabulary lacks: `<unk>`, and the bytes that some tokenizers spell it in."""
    vocabulary = tokenizer.get_vocab()
    pieces = (f"<0x{byte:02X}>" for byte in range(256))
    return {int(tokenizer.unk_token_id), *(vocabulary[piece] for piece in pieces if piece in vocabulary)}


def _encoded(task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """The examples, each with what it is as the model is given it: tokens, and in how many parts."""
    from trainables.kinds import KINDS

    task = task.model_copy(update={"masked_lm": task.masked_lm.model_copy(update={"copies": 1})})
    lengths: list[list[int]] = [[] for _ in examples]
    for feature in KINDS[task.kind].encode(task, examples, tokenizer, task.max_length):
        lengths[feature.item].append(feature.length)
    return [
        {**_fields(example), "tokens": max(own), "parts": 1 if task.kind == "retrieval" else len(own)}
        for example, own in zip(examples, lengths, strict=True)
    ]


def _fields(example: Example) -> Row:
    """What an example holds; fields that its kind does not have are left out."""
    answers = [{"text": answer.text, "answer_start": answer.start} for answer in example.answers]
    held = {
        "id": example.id, "text": example.text, "pair": example.pair, "words": list(example.words),
        "tags": list(example.tags), "choices": list(example.choices), "answers": answers, "label": example.label,
    }  # fmt: skip
    return {name: value for name, value in held.items() if value not in ("", None, [])}


# --- remarks ----------------------------------------------------------------------------------------------------------


def _remark_languages(report: Report, task: Task, found: Mapping[Split, ByLanguage]) -> None:
    """Languages that are listed and missing, there and not listed, or of which nothing is known."""
    listed = [*task.languages, *task.extra_languages]
    if "test" in found and listed:
        have = found["test"]
        report.remark("test: languages that the task lists and the data lack", (c for c in listed if c not in have))
        others = (code for code in have if code not in listed)
        report.remark("test: languages of the data that the task does not list (only --languages scores them)", others)
    foreign = [code for code in found.get("train", {}) if code not in task.train_languages]
    report.remark("train: languages that are not trained on", foreign)
    codes = {code for by_language in found.values() for code in by_language}
    unknown = sorted(code for code in codes - set(LANGUAGES) if not sides(code))
    report.remark("languages without a known family and script (see `order-search ls languages`)", unknown)


def _remark_gaps(report: Report, task: Task, there: Sequence[Split]) -> None:
    """Splits that a target would need; those that could not be read are not gaps but wrong."""
    if task.kind == "masked_lm":
        report.remarks.append("plain text: the task can be trained on, but is no target")
        return
    if "test" not in there:
        report.remarks.append("there are no test examples: the task can be trained on, but is no target")
    if "dev" not in there and task.trained_on == task.name:
        report.remarks.append("there are no English dev examples: as a target it cannot be selected on (en-dev)")


def _remark_training(
    report: Report, task: Task, found: Mapping[Split, ByLanguage], training: Sequence[Example]
) -> None:
    """What training and test share, and do not share."""
    if not training:
        return
    seen = labels_of(training)
    others = labels_of(e for split in ("dev", "test") for rows in found.get(split, {}).values() for e in rows)
    unseen = [label for label in dict.fromkeys((*task.labels, *others)) if label not in seen]
    report.remark("labels never seen in training (times in dev and test)", (f"{n} ({others[n]:,})" for n in unseen))
    known = {_said(example) for example in training}
    for split in ("dev", "test"):
        shared = {code: sum(_said(e) in known for e in rows) for code, rows in found.get(split, {}).items()}
        told = (f"{n:,} of {len(found[split][code]):,} in {code}" for code, n in shared.items() if n)
        report.remark(f"{split}: texts that the training set has too, word for word", told)


def _said(example: Example) -> tuple[str, str | None, tuple[str, ...]]:
    return example.text, example.pair, example.words


# --- telling ----------------------------------------------------------------------------------------------------------


def as_json(report: Report) -> Row:
    """All that was found, for programs: nothing is shortened."""
    wrong = [{"what": one.what, "where": one.where, "right": one.right} for one in report.wrong]
    return {
        "task": report.task.name, "kind": report.task.kind, "clean": report.clean, "splits": report.figures,
        "examples": report.examples, "wrong": wrong, "bad_rows": report.bad_rows, "remarks": report.remarks,
    }  # fmt: skip


def print_report(report: Report, console: Console) -> None:
    """Figures, examples and remarks, and at the end, where it is seen, what is wrong."""
    task = report.task
    console.print(Text(f"{task.name}: {task.kind}" + (f", {task.question}" if task.question else ""), "bold"))
    if report.figures:
        console.print(_figures_table(report), *_notes(report), sep="\n")
    if report.examples:
        console.print(_examples_table(report))
    for remark in report.remarks:
        console.print(Text(f"· {_line(remark)}"))
    for mistake in report.wrong:
        console.print(Text.assemble(("wrong ", "bold red"), _line(str(mistake), "\n")), soft_wrap=True)
    for row in report.bad_rows[:TOLD]:
        told = f"{row['where']}: {row['what']}"
        console.print(Text.assemble(("bad row ", "bold red"), _line(told)), soft_wrap=True)
    if len(report.bad_rows) > TOLD:
        console.print(f"… and {len(report.bad_rows) - TOLD:,} more bad rows (all of them: --format json)")
    number = len(report.wrong) + len(report.bad_rows)
    things = "one thing is" if number == 1 else f"{number:,} things are"
    console.print(Text("nothing is wrong", "green") if report.clean else Text(f"{things} wrong", "bold red"))


def _figures_table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("split", "language", "examples", "labels", "median", "longest", "too long", "unknown"):
        justify: Literal["left", "right"] = "left" if name in ("split", "language", "labels") else "right"
        ratio = 1 if name == "labels" else None
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", ratio=ratio)
    for row in report.figures:
        tokens = row.get("tokens")
        counted = (
            [f"{tokens['median']:g}", f"{tokens['longest']:,}", f"{tokens['longer']:,}", f"{tokens['unknown']:.1%}"]
            if tokens else [""] * 4
        )  # fmt: skip
        table.add_row(row["split"], row["language"], f"{row['examples']:,}", Text(_told(row)), *counted)
    return table


def _told(row: Row) -> str:
    """The labels of a split in a language, the most frequent first, and what else counts for its kind."""
    shown = [f"{_line(label)}: {times:,}" for label, times in list(row["labels"].items())[:LABELS_SHOWN]]
    number = len(row["labels"])
    parts = [(f"{number:,} labels: " if number > LABELS_SHOWN else "") + " · ".join(shown)] if shown else []
    if "answered" in row:
        without = row["examples"] - row["answered"]
        length = f", {row['answer_characters']:g} characters long (median)" if row["answers"] else ""
        parts.append(f"{row['answers']:,} answers{length}" + (f", {without:,} questions without" if without else ""))
    if "choices" in row:
        parts.append("; ".join(f"{times:,} with {number} choices" for number, times in row["choices"].items()))
    if "pairs" in row:
        parts.append(f"{row['pairs']:,} pairs")
    return "; ".join(parts)


def _notes(report: Report) -> list[Text]:
    """What the columns about tokens mean."""
    tokens = next((row["tokens"] for row in report.figures if row.get("tokens")), None)
    if tokens is None:
        return []
    sampled = f", of {SAMPLED:,} examples at most" if any(row["examples"] > SAMPLED for row in report.figures) else ""
    note = (
        f"median, longest: in tokens{sampled}; too long: more than {tokens['max_length']} tokens, which are "
        f"{tokens['longer_are']}; unknown: the share of tokens that stand for what the vocabulary lacks"
    )
    return [Text(note, "dim"), Text("")]


def _examples_table(report: Report) -> Table:
    """The examples, one line each, their texts cut to the width of the terminal."""
    rows = [(row, *_texts(row)) for row in report.examples]
    columns = [("text", 3), ("pair", 2), ("label", 1)]
    kept = [place for place in range(len(columns)) if any(row[place + 1] for row in rows)]
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("split", "language", "id"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=12)
    for name, ratio in (columns[place] for place in kept):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=ratio)
    table.add_column("tokens", justify="right", no_wrap=True)
    for row, *texts in rows:
        shown = (row["split"], row["language"], row["id"], *(texts[place] for place in kept))
        tokens = f"{row['tokens']}" + (f" × {row['parts']}" if row["parts"] > 1 else "")
        table.add_row(*(Text(_line(one)) for one in shown), tokens)
    return table


def _texts(row: Row) -> tuple[str, str, str]:
    """The text, the second text and the label of an example, as a line of the table shows them."""
    if "words" in row:
        return " ".join(f"{word}/{tag}" for word, tag in zip(row["words"], row["tags"], strict=True)), "", ""
    if "choices" in row:
        listed = " | ".join(f"{number} {choice}" for number, choice in enumerate(row["choices"]))
        return " ".join([row["text"], *([row["pair"]] if "pair" in row else [])]), listed, row["label"]
    if "answers" in row:
        first = row["answers"][0]
        context = row["pair"][max(0, first["answer_start"] - 30) :]
        return row["text"], f"…{context}" if first["answer_start"] > 30 else context, first["text"]
    return row.get("text", ""), row.get("pair", ""), row.get("label", "")


def _line(text: str, kept: str = "") -> str:
    """A text in one line, without what a terminal would obey."""
    spaced = text if kept else " ".join(text.split())
    return "".join(
        "�" if unicodedata.category(sign) in ("Cc", "Cs") and sign not in kept else sign for sign in spaced
    )  # fmt: skip
