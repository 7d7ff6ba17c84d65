"""Scores of edited examples: against the clean ones, recomputed by hand, and the same however they are come by."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from perturbing import EDITS, TASKS, by_cell, head_of, portions_of, sets_for, suites_in, task_of

from trainables import perturbed as module
from trainables.edited import changed
from trainables.evaluate import EvaluationSet, evaluate, predictions, sets_of
from trainables.examples import in_search_half
from trainables.kinds import KINDS
from trainables.models import Encoder
from trainables.perturbed import SUITE, choose, evaluate_edited, stream_of

CONTROLS = ["normal-forms", "full-width", "double-spaces"]


@pytest.fixture(scope="module")
def tiny(tiny_model) -> Encoder:
    return Encoder(tiny_model)


@pytest.fixture(scope="module")
def done(tiny, tmp_path_factory):
    """Each kind once: task, head, sets, suites, and the rows of scores and predictions."""
    found = {}

    def of(kind):
        if kind not in found:
            task, sets = sets_for(tiny, kind, dev=kind == "classification")
            head, suites = head_of(tiny, task), suites_in(tmp_path_factory.mktemp(kind))
            rows = evaluate_edited(tiny, task, head, sets, suites, task.max_length)
            found[kind] = task, head, sets, suites, *rows
        return found[kind]

    return of


def subset(task, kind, part, keep):
    """Some examples of a set as a set of their own."""
    place = {item: new for new, item in enumerate(keep)}
    features = [replace(f, item=place[f.item]) for f in part.features if f.item in place]
    return replace(part, examples=[part.examples[i] for i in keep], features=features)


# --- clean figures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TASKS)
def test_clean_figures_are_those_of_the_clean_score(tiny, done, kind):
    """Of the chosen examples alone; in retrieval and mining among all the others."""
    task, head, sets, _, _, items = done(kind)
    _, plain = evaluate(tiny, task, head, sets)
    examples = [example for part in sets if part.portion != "threshold" for example in part.examples]
    clean = {
        (row["portion"], row["language"], row["id"]): row["score"]
        for row, example in zip(plain, examples, strict=True)
        if kind != "mining" or example.label == "source"
    }
    if kind == "span":  # robustness is measured on F1 alone
        clean = {
            (part.portion, part.language, example.id): figure
            for part, own in zip(sets, predictions(tiny, task, head, sets), strict=True)
            for example, figure in zip(
                part.examples, KINDS[kind].score(task, part.examples, part.features, own).graded, strict=True
            )
        }
    assert {(row["perturbation"], row["severity"]) for row in items} == {(e, s) for e in EDITS for s in (2, 5)}
    for row in items:
        assert row["clean"] == pytest.approx(clean[row["portion"], row["language"], row["id"]], abs=1e-6)


@pytest.mark.parametrize("kind", ["classification", "tagging", "span", "choice"])
def test_the_main_metric_is_that_of_the_edited_examples_alone(tiny, done, kind):
    """As if these were the set: scored as any set is, without suites."""
    task, head, sets, suites, rows, _ = done(kind)
    stream = stream_of(tiny, task, sets, suites, task.max_length)
    checked = 0
    for one, cells in zip(stream.sets, stream.cells, strict=True):
        for cell in cells:
            examples = [cell.examples[i] for i in one.chosen]
            (alone,) = sets_of(task, {(one.part.portion, one.part.language): examples}, tiny)
            found, _ = evaluate(tiny, task, head, [alone])
            own = by_cell(rows, perturbation=cell.perturbation, severity=cell.severity, language=one.part.language)
            told = {(r["portion"], r["metric"]): r for rs in own.values() for r in rs}
            for row in found:
                mine = told[row["portion"], row["metric"]]
                assert (mine["value"], mine["n"]) == (pytest.approx(row["value"], abs=1e-6), row["n"])
                assert mine["main"] == row["main"]
                checked += 1
    assert checked > 20


def test_retrieval_searches_all_translations(tiny, done):
    """The edited queries, among the translations of all items of the portion."""
    task, head, sets, suites, _rows, items = done("retrieval")
    stream = stream_of(tiny, task, sets, suites, task.max_length)
    for one, cells in zip(stream.sets, stream.cells, strict=True):
        assert len(one.chosen) == 10 < len(one.part.examples)
        for cell in cells:
            (whole,) = sets_of(task, {("test", one.part.language): cell.examples}, tiny)
            _, plain = evaluate(tiny, task, head, [whole])
            by_id = {row["id"]: row["score"] for row in plain}
            own = [r for r in items if (r["language"], r["perturbation"], r["severity"]) ==
                   (one.part.language, cell.perturbation, cell.severity)]  # fmt: skip
            assert len(own) == 10
            assert {row["id"]: row["score"] for row in own} == {row["id"]: by_id[row["id"]] for row in own}


def test_mining_is_of_all_sentences_at_the_clean_threshold(tiny, done):
    task, head, sets, suites, rows, _ = done("mining")
    (threshold_part,) = [part for part in sets if part.portion == "threshold"]
    (part,) = [part for part in sets if part.portion == "test"]
    told = predictions(tiny, task, head, [threshold_part, part])
    threshold = KINDS["mining"].score(task, threshold_part.examples, threshold_part.features, told[0]).threshold
    stream = stream_of(tiny, task, sets, suites, task.max_length)
    clean, _ = evaluate(tiny, task, head, sets)
    clean_f1 = next(row["value"] for row in clean if row["main"] and row["portion"] == "test")
    for cell in stream.cells[0]:
        (edited,) = sets_of(task, {("test", part.language): cell.examples}, tiny)
        (own,) = predictions(tiny, task, head, [edited])
        found = KINDS["mining"].score(task, edited.examples, edited.features, own, threshold)
        told_ = {r["metric"]: r for r in by_cell(rows, portion="test")["es", cell.perturbation, cell.severity]}
        assert told_["f1"]["value"] == pytest.approx(found.metrics[0].value, abs=1e-6)
        assert told_["robust"]["value"] == min(told_["f1"]["value"], clean_f1)
        assert "robust_attackable" not in told_


def test_mining_counts_the_sentences_that_may_change(tiny, done):
    """Not the English ones: else what could be attacked would hang on how many of those there are."""
    _, _, sets, _, rows, items = done("mining")
    (part,) = [part for part in sets if part.portion == "test"]
    sources = {example.id for example in part.examples if example.label == "source"}
    assert {row["id"] for row in items} == sources
    shares = [row["attackability"] for row in rows if row["metric"] == "robust" and row["portion"] == "test"]
    assert min(shares) > 0.9


# --- recomputed from predictions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification", "tagging", "span", "choice", "retrieval"])
def test_every_figure_can_be_recomputed_from_the_predictions(done, kind):
    _task, _, _sets, _, rows, items = done(kind)
    cells = by_cell(rows, portion="test")
    assert len(cells) >= 2 * len(EDITS)
    for cell, told in cells.items():
        own = by_cell(items, portion="test")[cell]
        clean, after = [r["clean"] for r in own], [r["score"] for r in own]
        can = [r["attackable"] for r in own]
        values = {row["metric"]: row for row in told}
        worse = [min(a, b) for a, b in zip(clean, after, strict=True)]
        expected = {
            "robust": worse, "robust_attackable": [w for w, c in zip(worse, can, strict=True) if c],
            "clean_subset": clean, "clean_attackable": [w for w, c in zip(clean, can, strict=True) if c],
            "drop": [a - b for a, b in zip(clean, after, strict=True)],
            "flips_down": [b < a for a, b in zip(clean, after, strict=True)],
            "flips_up": [b > a for a, b in zip(clean, after, strict=True)],
            "consistency": [b == a for a, b in zip(clean, after, strict=True)],
        }  # fmt: skip
        for name, figures_ in expected.items():
            if figures_:
                assert values[name]["value"] == pytest.approx(math.fsum(figures_) / len(figures_)), (cell, name)
                assert values[name]["n"] == len(figures_)
                assert not values[name]["main"]
        assert {row["attackability"] for row in told} == {sum(can) / len(can)}


@pytest.mark.parametrize("kind", ["classification", "tagging", "span", "choice"])
def test_something_changes(done, kind):
    """Or nothing here would be tested."""
    _, _, _, _, rows, items = done(kind)
    assert any(row["score"] < row["clean"] for row in items)
    assert any(row["score"] > row["clean"] for row in items)
    found = {row["metric"]: row["value"] for row in rows if row["severity"] == 5 and row["perturbation"] == "keyboard"}
    assert found["candidates_per_word"] > 1


@pytest.mark.parametrize("kind", ["classification", "retrieval", "mining"])
def test_halves_are_those_of_the_clean_score(tiny, done, kind):
    """Together they are the test set; which item is in which hangs on its unit alone."""
    _task, _, sets, _, rows, items = done(kind)
    for cell, told in by_cell(rows, metric="flips_down").items():
        count = {row["portion"]: row["n"] for row in told}
        part = next(p for p in sets if p.portion == "test" and p.language == cell[0])
        ids = {row["id"] for row in by_cell(items, portion="test")[cell]}
        units = [KINDS[kind].unit(e) for e in part.examples if e.id in ids]
        assert count["search"] == sum(map(in_search_half, units))
        assert count["test"] == len(units) == count["search"] + count["report"]
    assert {row["portion"] for row in items} <= {"dev", "test"}


def test_the_english_dev_set_is_edited_too(done):
    _, _, _, _, rows, items = done("classification")
    assert {row["language"] for row in rows if row["portion"] == "dev"} == {"en"}
    assert len([row for row in items if row["portion"] == "dev"]) == 10 * len(EDITS) * 2


@pytest.mark.parametrize("kind", ["classification", "span", "retrieval"])
def test_the_robust_figure_of_a_half_is_of_its_examples(done, kind):
    _task, _, _sets, _, rows, items = done(kind)
    if kind == "retrieval":  # its halves are searched apart
        return
    for cell, told in by_cell(rows, metric="robust").items():
        own = by_cell(items, portion="test")[cell]
        for wanted, portion in ((True, "search"), (False, "report")):
            kept = [min(r["clean"], r["score"]) for r in own if in_search_half(r["id"]) == wanted]
            value = [row["value"] for row in told if row["portion"] == portion]
            assert value == ([pytest.approx(sum(kept) / len(kept))] if kept else [])


# --- controls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TASKS)
def test_what_the_normaliser_undoes_changes_nothing(tiny, tmp_path, kind):
    task, sets = sets_for(tiny, kind)
    suites = suites_in(tmp_path, edits=CONTROLS, severities=[5])
    rows, items = evaluate_edited(tiny, task, head_of(tiny, task), sets, suites, task.max_length)
    assert {row["perturbation"] for row in items} >= ({"normal-forms"} if kind == "tagging" else {"double-spaces"})
    assert all(row["score"] == row["clean"] and not row["attackable"] for row in items)
    for told in by_cell(rows, portion="test").values():
        value = {row["metric"]: row["value"] for row in told}
        assert value.get("clean_subset", value["robust"]) == value["robust"]
        assert (value["flips_down"], value["flips_up"], value["consistency"]) == (0, 0, 1)
        assert value.get("undone", 1) == 1
        assert {row["attackability"] for row in told} == {0}
        assert "robust_attackable" not in value


def test_controls_do_change_the_texts(tiny, tmp_path):
    task, sets = sets_for(tiny, "classification")
    suites = suites_in(tmp_path, edits=["double-spaces"], severities=[5])
    rows, _ = evaluate_edited(tiny, task, head_of(tiny, task), sets, suites, task.max_length)
    assert {row["value"] for row in rows if row["metric"] == "undone"} == {1.0}
    (cell,) = stream_of(tiny, task, sets, suites, task.max_length).cells[0]
    assert len(cell.edited) == 10
    assert cell.reached == frozenset()
    assert cell.examples == list(sets[0].examples)  # so that answers are read off the clean contexts
    (one, _) = stream_of(tiny, task, sets, suites, task.max_length).sets
    for item, changes in zip(one.chosen, one.edited.changes["double-spaces", 5], strict=True):
        edited = changed(task, one.part.examples[item], changes)
        assert "  " in edited.text + edited.pair


def test_undone_is_the_share_of_edits_that_a_tokenizer_does_not_see(tiny, tmp_path, monkeypatch):
    task, sets = sets_for(tiny, "classification")
    suites = suites_in(tmp_path, edits=["casing"], severities=[5])
    blind = KINDS["classification"].encode

    def encode(self, task, examples, tokenizer, length):
        return blind(task, [replace(e, text=e.text.lower(), pair=e.pair.lower()) for e in examples], tokenizer, length)

    monkeypatch.setattr(type(KINDS["classification"]), "encode", encode)
    task, sets = sets_for(tiny, "classification")
    rows, _ = evaluate_edited(tiny, task, head_of(tiny, task), sets, suites, task.max_length)
    assert {row["value"] for row in rows if row["metric"] == "undone"} == {1.0}
    assert {row["attackability"] for row in rows} == {0.0}


# --- the same however it is come by -----------------------------------------------------------------------------------


def close(rows, others):
    """Equal rows in whatever order, values up to what batches change."""

    def key(row):
        return tuple(str(row.get(name)) for name in ("language", "portion", "perturbation", "severity", "metric", "id"))

    first, second = (sorted(found, key=key) for found in (rows, others))
    assert [key(row) for row in first] == [key(row) for row in second]
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            same = pytest.approx(other[name], abs=1e-6) if isinstance(value, float) else other[name]
            assert value == same, (key(one), name)
    return True


@pytest.mark.parametrize("kind", ["classification", "span"])
def test_the_order_of_sets_changes_nothing(tiny, done, tmp_path, kind):
    task, head, sets, _, rows, items = done(kind)
    others = evaluate_edited(tiny, task, head, sets[::-1], suites_in(tmp_path), task.max_length)
    assert close(rows, others[0])
    assert close(items, others[1])


def test_thresholds_may_come_after_what_they_are_for(tiny, done, tmp_path):
    task, head, sets, _, rows, _ = done("mining")
    others, _ = evaluate_edited(tiny, task, head, sets[::-1], suites_in(tmp_path), task.max_length)
    assert close(rows, others)
    assert close(*(evaluate(tiny, task, head, own)[0] for own in (sets, sets[::-1])))


def test_a_set_alone_is_the_same(tiny, done, tmp_path):
    task, head, sets, _, rows, _items = done("tagging")
    own, _ = evaluate_edited(tiny, task, head, sets[:1], suites_in(tmp_path), task.max_length)
    assert close(own, [row for row in rows if row["language"] == sets[0].language])


@pytest.mark.parametrize("kind", TASKS)
def test_reading_equal_texts_once_changes_nothing(tiny, tmp_path, kind, monkeypatch):
    task, sets = sets_for(tiny, kind)
    head, suites = head_of(tiny, task), suites_in(tmp_path, edits=[*EDITS, "normal-forms"], severities=[1, 2])
    rows, items = evaluate_edited(tiny, task, head, sets, suites, task.max_length)
    parts = stream_of(tiny, task, sets, suites, task.max_length).parts
    contents = [feature.content for part in parts for feature in part.features]
    assert len(set(contents)) < len(contents)
    plain = module.predictions
    monkeypatch.setattr(module, "predictions", plain)
    others = evaluate_edited(tiny, task, head, sets, suites, task.max_length)
    assert close(rows, others[0])
    assert close(items, others[1])


def test_examples_that_were_not_chosen_are_not_read(tiny, done):
    for kind in TASKS:
        task, _, sets, suites, _, _ = done(kind)
        stream = stream_of(tiny, task, sets, suites, task.max_length)
        for one in stream.sets:
            assert len({f.item for f in one.part.features}) == (
                len(one.part.examples) if kind in ("retrieval", "mining") else 10
            )


def test_the_same_items_in_every_language(done):
    for kind in ("classification", "retrieval"):
        _, _, _, _, _, items = done(kind)
        found = {}
        for row in items:
            if row["portion"] == "test":
                found.setdefault((row["language"], row["perturbation"], row["severity"]), set()).add(row["id"])
        assert len(set(map(frozenset, found.values()))) == 1


def test_choose():
    task, mining = task_of("classification"), task_of("mining")
    examples = portions_of(task, ["en"])["test", "en"]
    chosen = choose(task, examples, 5, 0)
    assert len(chosen) == 5
    assert chosen == sorted(chosen)
    ids = {examples[i].id for i in chosen}
    assert {examples[::-1][i].id for i in choose(task, examples[::-1], 5, 0)} == ids
    assert ids != {examples[i].id for i in choose(task, examples, 5, 1)}
    assert ids < {examples[i].id for i in choose(task, examples, 9, 0)}
    assert choose(task, examples, None, 0) == choose(task, examples, 99, 0) == list(range(len(examples)))
    pairs = portions_of(mining, ["es"])["test", "es"]
    assert [pairs[i].label for i in choose(mining, pairs, 1, 0)] == ["source"] * sum(e.label == "source" for e in pairs)


# --- stored suites ----------------------------------------------------------------------------------------------------


def changes_of(suites, task, sets):
    return [(one.part.portion, one.part.language, one.chosen, one.edited) for one in suites.of(task, sets)]


def test_a_stored_suite_is_read_back(tiny, tmp_path, monkeypatch):
    task, sets = sets_for(tiny, "classification")
    first = changes_of(suites_in(tmp_path), task, sets)
    monkeypatch.setattr(module, "prepare", lambda *given: pytest.fail("made again"))
    assert changes_of(suites_in(tmp_path), task, sets) == first


def blobs(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name.startswith("suite"))


@pytest.mark.parametrize("content", [b"", b"no gzip", "cut", "flip"])
def test_a_corrupt_suite_is_made_again(tiny, tmp_path, content):
    task, sets = sets_for(tiny, "classification")
    first = changes_of(suites_in(tmp_path), task, sets)
    for path in blobs(tmp_path):
        old = path.read_bytes()
        new = {"cut": old[: len(old) // 2], "flip": old[:-9] + bytes([old[-9] ^ 1]) + old[-8:]}.get(content, content)
        path.write_bytes(new)
    assert len(blobs(tmp_path)) == 2
    assert changes_of(suites_in(tmp_path), task, sets) == first
    again = suites_in(tmp_path)
    assert changes_of(again, task, sets) == first
    assert all(again._store.verify(key) for key in sorted(again._store.keys()))


def test_two_workers_make_the_same_bytes(tiny, tmp_path):
    """In whatever order they come to the languages."""
    task, sets = sets_for(tiny, "classification")
    one, two = suites_in(tmp_path / "one"), suites_in(tmp_path / "two")
    one.of(task, sets)
    for part in sets[::-1]:
        two.of(task, [part])
    assert one._store.keys() == two._store.keys()
    for key in sorted(one._store.keys()):
        assert one._store.blob(key, SUITE) == two._store.blob(key, SUITE)


def test_a_suite_does_not_depend_on_the_model(tiny, tmp_path, tiny_model):
    """Nor on how long the texts are that it reads."""
    task, sets = sets_for(tiny, "span")
    short = [EvaluationSet(p.portion, p.language, p.examples, []) for p in sets]
    suites = suites_in(tmp_path)
    suites.of(task, sets)
    keys = suites._store.keys()
    suites.of(task, short)
    assert suites._store.keys() == keys
    assert len(keys) == 2


def test_what_a_suite_does_depend_on(tiny, tmp_path):
    task, sets = sets_for(tiny, "classification")
    seen = set()
    others = ({}, {"seed": 1}, {"severities": [1]}, {"edits": ["keyboard"]}, {"examples": 4}, {"fields": "first"})
    for number, other in enumerate(others):
        suites = suites_in(tmp_path, **other)
        suites.of(task, sets)
        keys = suites._store.keys()
        assert len(keys - seen) == 2, other
        seen = keys
        assert len(seen) == 2 * (number + 1)
    suites_in(tmp_path, name="other", dtype="bfloat16").of(task, sets)
    assert suites_in(tmp_path)._store.keys() == seen


def test_a_suite_is_encoded_once_a_worker(tiny, done, monkeypatch):
    """For the next stage's weights only the model is asked."""
    task, head, sets, suites, rows, _ = done("classification")
    monkeypatch.setattr(module, "cells_of", lambda *given: pytest.fail("encoded again"))
    again, _ = evaluate_edited(tiny, task, head, sets, suites, task.max_length)
    assert again == rows


def test_edits_that_do_not_exist_have_no_rows(tiny, tmp_path):
    """Chinese has no capitals, and the mini suite no wordnet."""
    task, sets = sets_for(tiny, "choice")
    suites = suites_in(tmp_path, edits=["casing", "deletion", "synonyms"], severities=[3])
    rows, _ = evaluate_edited(tiny, task, head_of(tiny, task), sets, suites, task.max_length)
    assert {(row["language"], row["perturbation"]) for row in rows} == {
        ("tr", "casing"), ("tr", "deletion"), ("zh", "deletion"),
    }  # fmt: skip


def test_windows_of_a_long_context_are_all_there(tiny, tmp_path):
    """A context longer than the model reads is cut in windows, the edited one in its own."""
    task, sets = sets_for(tiny, "span", max_length=48)
    task = task.model_copy(update={"span": task.span.model_copy(update={"stride": 16})})
    sets = sets_of(task, {(p.portion, p.language): p.examples for p in sets}, tiny)
    assert len(sets[0].features) > len(sets[0].examples)
    suites = suites_in(tmp_path, edits=["romanisation", "deletion"], severities=[5])
    head = head_of(tiny, task)
    _rows, items = evaluate_edited(tiny, task, head, sets, suites, 48)
    stream = stream_of(tiny, task, sets, suites, 48)
    for one, cells in zip(stream.sets, stream.cells, strict=True):
        for cell in cells:
            examples = [cell.examples[i] for i in one.chosen]
            (alone,) = sets_of(task, {("test", one.part.language): examples}, tiny)
            (own,) = predictions(tiny, task, head, [alone])
            graded = KINDS["span"].score(task, examples, alone.features, own).graded
            told = by_cell(items, portion="test")[one.part.language, cell.perturbation, cell.severity]
            assert [row["score"] for row in told] == pytest.approx(graded, abs=1e-6)
