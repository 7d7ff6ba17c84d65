"""Studies on a decoder: what is planned, what is shared, what is refused, and a small one run to its answer."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from search.candidate import Candidate
from search.cli import main
from search.describe import describe
from search.order import Order
from search.settings import load_settings
from search.study import Study
from trainables import bench as bench_module
from trainables.bench import Bench, Workplace
from trainables.stage import PREDICTIONS


def study_of(**changed):
    plain = {"space": "icl", "answer": "orders", "targets": "mini-xnli", "languages": "en,de", "limit": 8, "seeds": 1}
    settings = {**plain, **changed}
    flags = {k: settings.pop(k) for k in ("space", "targets", "languages", "limit", "seeds", "store") if k in settings}
    return Study(*load_settings(flags, settings))


def stages(study, order, method, seed=0):
    arm = next(arm for arm in study.space.arms if arm.method == method)
    return study.stages(Candidate(Order.parse(order) if order != "none" else Order(()), *arm), seed)


def test_in_context_nothing_of_the_target_is_trained():
    study = study_of()
    (score,) = stages(study, "none", "icl", seed=3)
    assert (score.kind, score.parent, score.method, score.seed) == ("score", None, "icl", 3)
    assert study.fingerprints["train", "mini-nli"] in score.data  # the demonstrations are from there
    assert score.settings["icl_shots"] == 4
    assert score.settings["icl_demonstrations"] == "en"


def test_both_methods_share_the_intermediate_stage():
    """So that the 2 × 2 compares what comes after it."""
    study = study_of()
    in_context, tuned = stages(study, "mini-topic", "icl"), stages(study, "mini-topic", "full")
    assert in_context[0] == tuned[0]
    assert in_context[-1].parent == tuned[0].key
    assert [stage.kind for stage in tuned] == ["train", "train", "score"]


def test_counts_of_a_study_in_context():
    study = study_of(method=["icl", "icl-target", "full"])
    assert len(study.space.arms) == 6
    keys = {stage.key for c in study.space for stage in study.stages(c, 0)}
    assert study.counts()["stages_distinct"] == len(keys)


def test_a_draw_depends_on_the_seed_alone():
    """The same demonstrations for every order at the same root: the comparison is paired."""
    study = study_of()
    one, other = (stages(study, order, "icl")[-1] for order in ("none", "mini-topic"))
    assert one.seed == other.seed == 0
    assert one.key != other.key


def test_templates_are_in_a_decoders_stages_alone():
    before = {}
    for model in ("micro", "micro-decoder"):
        for wording in ("Answer:", "Reply:"):
            study = study_of(model=model, method=["full"])
            for task in study.tasks.values():
                if task.template:
                    task.template.__dict__["text"] = f"{task.template.text} {wording}"
            before[model, wording] = [stage.key for stage in stages(study, "mini-topic", "full")]
    assert before["micro", "Answer:"] == before["micro", "Reply:"]
    assert not set(before["micro-decoder", "Answer:"]) & set(before["micro-decoder", "Reply:"])


def test_few_shot_is_told():
    notes = " ".join(describe(study_of(method=["icl", "icl-target"]))["notes"])
    assert "icl-target: demonstrations in the target's language, not zero-shot; ranked apart" in notes


RULES = [("mini-xnli", {"score": "pmi"}, "icl_score"), ("mini-xquad", {"max_new_tokens": 9}, "icl_max_new_tokens")]


@pytest.mark.parametrize(("target", "rule", "key"), RULES)
@pytest.mark.parametrize("model", ["micro-decoder", "micro"])
def test_the_rule_of_scoring_is_in_a_decoders_score_stages_alone(target, rule, key, model):
    settings = {"targets": target, "model": model, "method": ["full"]}
    plain, ruled = study_of(**settings), study_of(**settings, methods={"icl": rule})
    (*trained, scored), (*trained_too, other) = (stages(one, "mini-topic", "full") for one in (plain, ruled))
    assert trained == trained_too
    assert (scored == other) == (model == "micro")
    assert other.settings.get(key) == (None if model == "micro" else next(iter(rule.values())))


@pytest.mark.parametrize("score", ["sum", "token", "byte", "pmi"])
def test_fine_tuned_and_in_context_are_scored_by_one_rule(tmp_path, score):
    """Without demonstrations both methods give the base model the same figures, item by item."""
    rule = {"icl": {"score": score, "shots": 0}}
    study = study_of(store=str(tmp_path / "store"), methods=rule)
    bench = Bench(Workplace(**json.loads(study.workplace())))
    (in_context,) = stages(study, "none", "icl")
    tuned = replace(stages(study, "none", "full")[-1], parent=None)
    for stage in (in_context, tuned):
        assert bench.run(stage).made
    rows, others = (bench.store.record(stage.key)["scores"] for stage in (in_context, tuned))
    assert rows == others
    assert bench.store.blob(in_context.key, PREDICTIONS) == bench.store.blob(tuned.key, PREDICTIONS)


def test_the_bench_scores_a_fine_tuned_decoder_by_the_studys_rule(tmp_path, monkeypatch):
    seen = []
    score = bench_module.evaluate_icl

    def spy(*given, **more):
        seen.append(given)
        return score(*given, **more)

    monkeypatch.setattr(bench_module, "evaluate_icl", spy)
    rule = {"icl": {"score": "pmi"}}
    study = study_of(store=str(tmp_path / "store"), methods=rule, train={"steps": 1, "target_steps": 1})
    bench = Bench(Workplace(**json.loads(study.workplace())))
    for stage in stages(study, "none", "full"):
        bench.run(stage)
    ((model, _, _, shown, settings, _, longest),) = seen
    assert (settings.score, settings.shots, shown.pools) == ("pmi", 0, {})
    assert longest == model.positions


def test_the_longest_answer_that_leaves_room_for_a_prompt_is_allowed():
    study_of(targets="mini-xquad", methods={"icl": {"max_new_tokens": 112}}).check()
    study_of(methods={"icl": {"max_new_tokens": 256}}).check()  # nothing is written


ALONE = ["--set", "answer=orders"]
"""For one method: the space's own answer compares two."""

REFUSED = {
    "an encoder": (["--model", "micro"], ["needs a decoder, but XLM-R is an encoder", "micro-decoder"]),
    "tagging": (["--targets", "mini-pos"], ["'mini-pos' is a tagging task, which has no text form", "--targets"]),
    "retrieval": (["--targets", "mini-xnli,mini-tatoeba"], ["'mini-tatoeba' is a retrieval task", "--targets"]),
    "masked words": (["--set", "intermediate=mini-mlm"], ["'mini-mlm' is a masked_lm task", "--set intermediate"]),
    "too many shots": (["--set", "methods.icl.shots=65"], ["methods.icl.shots", "less than or equal to 64"]),
    "too few draws": (["--set", "methods.icl.draws=2"], ["methods.icl.draws", "greater than or equal to 3"]),
    "an unknown score": (["--set", "methods.icl.score=mean"], ["methods.icl.score", "unknown value 'mean'"]),
    "answers without room for a prompt": (
        ["--targets", "mini-xquad", "--set", "methods.icl.max_new_tokens=113"],
        ["an answer of 113 tokens", "224 positions", "--set methods.icl.max_new_tokens", "1 to 112"],
    ),
    "answers without room, fine-tuned": (
        ["--targets", "mini-xquad", "--method", "full", "--set", "methods.icl.max_new_tokens=256", *ALONE],
        ["an answer of 256 tokens", "1 to 112"],
    ),
    "adapters on a decoder that has none": (["--method", "adapter", *ALONE], ["'adapter' does not run on XGLM"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(tmp_path, capsys, name):
    flags, told = REFUSED[name]
    assert main(["--space", "icl", "--dry-run", "--out", str(tmp_path / "out"), *flags]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert [text for text in told if text not in said] == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["icl", "full", "icl-target"])
def test_a_run_on_the_bench(tmp_path, method):
    study = study_of(store=str(tmp_path / "store"), method=[method], train={"steps": 2, "target_steps": 2})
    study.check()
    bench = Bench(Workplace(**json.loads(study.workplace())))
    own = stages(study, "mini-topic", method)
    for stage in own:
        assert bench.run(stage).made
    rows = bench.store.record(own[-1].key)["scores"]
    assert {(r["portion"], r["language"]) for r in rows} >= {("dev", "en"), ("test", "en"), ("test", "de")}
    assert all(0 <= row["value"] <= 1 for row in rows)
    assert ({row["metric"] for row in rows} == {"accuracy"}) == (method == "full")


def test_the_bench_scores_as_the_module_does(tmp_path, monkeypatch):
    """With the study's settings, the root's seed, and English training examples alone."""
    seen = {}

    def spy(model, task, sets, demonstrations, settings, seed, longest, split):
        seen.update(pools=demonstrations.pools, settings=settings, seed=seed)
        return [{"language": "de", "portion": "test", "metric": "accuracy", "main": True, "value": 0.5, "n": 1,
                 "stderr": None}], []  # fmt: skip

    monkeypatch.setattr(bench_module, "evaluate_icl", spy)
    study = study_of(store=str(tmp_path / "store"), methods={"icl": {"shots": 2, "score": "sum"}})
    bench = Bench(Workplace(**json.loads(study.workplace())))
    bench.run(stages(study, "none", "icl", seed=5)[0])
    assert (seen["settings"].shots, seen["settings"].score, seen["settings"].demonstrations) == (2, "sum", "en")
    assert seen["seed"] == 5
    assert set(seen["pools"]) == {"en"}
    assert {example.lang for example in seen["pools"]["en"]} == {"en"}
    assert all(example.id.startswith("train") for example in seen["pools"]["en"])
