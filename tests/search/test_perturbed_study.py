"""Studies with perturbation suites: what they plan, run, repeat and write; what is refused before anything starts."""

from __future__ import annotations

import json
from collections import Counter

import pandas as pd
import pytest
import yaml

from perturb.measure import ATTACKABLE
from search.candidate import Candidate
from search.cli import main
from search.order import Order
from search.planner import Planner
from search.run_folder import RunFolder
from search.scores import table
from search.settings import load_settings
from search.study import Study
from trainables import icl
from trainables.bench import Bench, Workplace
from trainables.errors import Mistakes
from trainables.stage import PREDICTIONS
from trainables.store import Store

SUITE = {"name": "own", "edits": ["keyboard", "casing", "synonyms"], "severities": [2, 5], "examples": 5}
ATTACKS = {"name": "hard", "attacks": [{"recipe": "deepwordbug", "queries": 12, "most": 1}], "examples": 3}

TARGETS = "mini-xnli,mini-pos,mini-tatoeba"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suites")
    for content in (SUITE, ATTACKS):
        (folder / f"{content['name']}.yaml").write_text(yaml.safe_dump(content))
    return folder


def study_of(folder, model, *suites, **changed):
    flags = {
        "targets": TARGETS, "languages": "en,de", "limit": 8, "seeds": 1, "model": model, "out": str(folder / "out"),
        "perturbations": ",".join(map(str, suites)),
    }  # fmt: skip
    flags |= {key: changed.pop(key) for key in tuple(changed) if key in (*flags, "objective")}
    plain = {"intermediate": ["mini-topic"], "train": {"steps": 2, "target_steps": 2, "batch_size": 4}}
    return Study(*load_settings(flags, {**plain, **changed}))


def run(study):
    """The study on a bench, without Ray: its planner, and the outcomes of its stages."""
    study.check()
    store = Store(study.settings.store_url)
    planner, bench, outcomes = Planner(study, store), Bench(Workplace(**json.loads(study.workplace()))), []
    while not planner.finished:
        path = planner.take()
        assert path, "the planner waits for nothing"
        for stage in path:
            outcome = bench.run(stage)
            outcomes.append((stage, outcome))
            told = {"key": outcome.key, "made": outcome.made, "seconds": outcome.seconds, "worker": outcome.worker}
            planner.report({**told, "parent": outcome.parent})
    return planner, outcomes


def written(study, planner):
    folder = RunFolder(study, ["order-search"])
    folder.finish(planner, {})
    return folder.path


def kinds(outcomes):
    return Counter(stage.measure or stage.kind for stage, outcome in outcomes if outcome.made)


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_model, files):
    """A study without suites, the same with one added, then with attacks too, all on one store."""
    folder = tmp_path_factory.mktemp("study")
    found = {}
    for name, suites in (("plain", ()), ("suite", ("own",)), ("attacked", ("own", "hard"))):
        study = study_of(folder, tiny_model, *(files / f"{suite}.yaml" for suite in suites))
        planner, outcomes = run(study)
        found[name] = study, planner, outcomes, written(study, planner)
    return found


# --- stages -----------------------------------------------------------------------------------------------------------


def test_a_suite_added_to_a_finished_study_trains_nothing(done):
    """Two orders, three targets; the base model's retrieval is one stage."""
    assert kinds(done["plain"][2]) == {"train": 5, "score": 6}
    assert kinds(done["suite"][2]) == {"perturbations": 6}
    assert kinds(done["attacked"][2]) == {"attack": 6}


def test_the_plain_stages_are_the_same(done):
    plain, suite = (set(done[name][1].stages) for name in ("plain", "suite"))
    assert plain < suite
    assert {done["suite"][1].stages[key][0].measure for key in suite - plain} == {"perturbations"}


def test_a_study_run_again_makes_nothing(done, tiny_model, files):
    folder = done["attacked"][3].parent.parent
    study = study_of(folder, tiny_model, files / "own.yaml", files / "hard.yaml")
    planner, outcomes = run(study)
    assert outcomes == []
    assert planner.cost_summary()["stages_executed"] == 0
    again = written(study, planner)
    for name in ("scores.csv", "leaderboard.csv", "robustness.csv", "coverage.csv", "leaderboard.md"):
        assert (again / name).read_bytes() == (done["attacked"][3] / name).read_bytes()


def test_a_corrupt_perturbed_stage_is_made_again(done, tmp_path, tiny_model, files):
    study = study_of(tmp_path, tiny_model, files / "own.yaml", targets="mini-xnli", languages="de")
    run(study)
    store = Store(study.settings.store_url)
    stages = {stage.key: stage for one in study.space for stage in study.stages(one, 0)}
    key = next(key for key, stage in stages.items() if stage.measure == "perturbations")
    (path,) = [p for p in (tmp_path / "out").rglob(f"*{key}*/{PREDICTIONS}*") if p.is_file()]
    path.write_bytes(b"")
    _, outcomes = run(study_of(tmp_path, tiny_model, files / "own.yaml", targets="mini-xnli", languages="de"))
    assert [outcome.key for _, outcome in outcomes] == [key]
    assert store.verify(key)


def test_counts_are_those_of_the_stages(done, tmp_path, tiny_model, files):
    for settings in ({}, {"intermediate": ["mini-topic", "mini-nli"]}, {"targets": "mini-tatoeba,mini-pos"},
                     {"method": ["full", "probe"]}, {"seeds": 3, "representations": ["mini-tatoeba"]},
                     {"train": {"steps": 3, "target_steps": 2}, "learning_rate": [1e-3, 1e-4]}):  # fmt: skip
        for suites in (("own",), ("own", "hard"), ("hard",)):
            study = study_of(tmp_path, tiny_model, *(files / f"{s}.yaml" for s in suites), **settings)
            runs = [study.stages(one, seed) for one in study.space for seed in range(study.settings.seeds)]
            keys = {stage.key for stages in runs for stage in stages}
            counts = study.counts()
            assert counts["stages_naive"] == sum(map(len, runs)), settings
            assert counts["stages_distinct"] == len(keys), settings


def test_a_dry_run_tells_them(tmp_path, tiny_model, files, capsys):
    words = ["--targets", TARGETS, "--languages", "en,de", "--limit", "8", "--seeds", "1", "--model", tiny_model,
             "--set", "intermediate=[mini-topic]", "--out", str(tmp_path / "out"), "--dry-run"]  # fmt: skip
    told = []
    for suites in ((), ("own",), ("own", "hard")):
        more = ["--perturbations", ",".join(str(files / f"{suite}.yaml") for suite in suites)] if suites else []
        assert main([*words, *more]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "stages, shared" in line]
        told.append(int(line.split()[-1]))
    assert told == [11, 17, 23]
    assert not (tmp_path / "out").exists()


def test_what_a_perturbed_stage_depends_on(tmp_path, tiny_model, files):
    def keys(name="own", **changed):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({**(SUITE if name == "own" else ATTACKS), **changed}))
        study = study_of(tmp_path, tiny_model, tmp_path / "s.yaml", targets="mini-xnli")
        stages = study.stages(Candidate(Order(()), *study.space.arms[0]), 0)
        return {stage.key for stage in stages if stage.measure}, {stage.key for stage in stages if not stage.measure}

    first, plain = keys()
    assert len(first) == 1
    for changed in ({"seed": 1}, {"severities": [1]}, {"edits": ["casing"]}, {"examples": 6}, {"fields": "first"}):
        other, own = keys(**changed)
        assert other.isdisjoint(first), changed
        assert own == plain
    assert keys(question="why?")[0] == first
    attack, _ = keys("hard")
    for changed in ({"dtype": "bfloat16"}, {"attacks": [{**ATTACKS["attacks"][0], "words": 0.5}]}, {"examples": 2}):
        assert keys("hard", **changed)[0].isdisjoint(attack), changed


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_attack_is_in_the_lesser_precision_of_suite_and_study(tmp_path, tiny_model, precision, dtype):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({**ATTACKS, "dtype": dtype}))
    study = study_of(tmp_path, tiny_model, tmp_path / "s.yaml", targets="mini-xnli", precision=precision)
    stages = study.stages(Candidate(Order(()), *study.space.arms[0]), 0)
    assert {stage.dtype for stage in stages if stage.measure == "attack"} == {min(precision, dtype)}
    assert {stage.dtype for stage in stages if stage.measure != "attack"} == {precision}


def test_the_study_is_another_where_a_suites_file_has_changed(tmp_path, tiny_model):
    seen = set()
    for changed in ({}, {"seed": 1}):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({**SUITE, **changed}))
        seen.add(study_of(tmp_path, tiny_model, tmp_path / "s.yaml").identity)
    assert len(seen) == 2


def test_examples_are_cut_to_as_many_as_are_asked_for(tmp_path, tiny_model, files):
    study = study_of(tmp_path, tiny_model, files / "own.yaml", files / "hard.yaml", perturbed_examples=4)
    assert (study.suites["own"].examples, study.suites["hard"].examples) == (4, 3)


# --- what is written --------------------------------------------------------------------------------------------------


def test_scores_have_the_perturbed_rows(done):
    scores = pd.read_parquet(done["attacked"][3] / "scores.parquet")
    assert set(scores.perturbation) == {"none", "keyboard", "casing", "attack:deepwordbug"}
    clean = scores[scores.perturbation == "none"]
    plain = pd.read_parquet(done["plain"][3] / "scores.parquet")
    pd.testing.assert_frame_equal(clean.reset_index(drop=True), plain, check_exact=True)
    edited = scores[(scores.perturbation != "none") & (scores.metric == "robust")]
    assert edited.attackability.between(0, 1).all()
    assert set(edited[edited.perturbation == "keyboard"].severity) == {2, 5}
    grid = edited[edited.portion == "test"].groupby(["candidate", "target", "language"]).perturbation.nunique()
    assert dict(grid.groupby(level="target").unique().map(set)) == {
        "mini-xnli": {3}, "mini-pos": {3}, "mini-tatoeba": {3},
    }  # fmt: skip
    attacked = scores[scores.perturbation == "attack:deepwordbug"]
    assert (attacked.queries.dropna() <= 12).all()


def test_predictions_give_the_robust_scores(done):
    folder = done["attacked"][3]
    scores = pd.read_parquet(folder / "scores.parquet")
    keys = ["candidate", "seed", "language", "perturbation", "severity"]
    for target in TARGETS.split(","):
        rows = pd.read_parquet(folder / "predictions" / f"{target}.parquet")
        rows = rows[rows.portion == "test"]
        edited = rows[rows.perturbation != "none"]
        means = edited[["score", "clean"]].astype(float).min(axis=1).groupby([edited[key] for key in keys]).mean()
        own = scores[(scores.target == target) & (scores.portion == "test")]
        robust = own[own.metric == "robust"].set_index(keys).value
        assert len(means) == len(robust) > 0
        assert (means - robust).abs().max() < 1e-12
        plain = rows[rows.perturbation == "none"].set_index(["candidate", "seed", "language", "id"]).score
        beside = edited.set_index(["candidate", "seed", "language", "id"])
        assert (beside.clean.astype(float) - plain.reindex(beside.index)).abs().max() < 1e-6


def test_the_leaderboard_has_robust_columns(done):
    plain, suite, both = (pd.read_csv(done[name][3] / "leaderboard.csv") for name in ("plain", "suite", "attacked"))
    assert not [name for name in plain if "robust" in name or "attack" in name]
    new = {"robust_score", "robust_attackable_score", "robust_drop", "attackability", "robust_language_de"}
    assert new <= set(suite.columns)
    assert not [name for name in suite if name.startswith("attacked_")]
    assert {"attacked_deepwordbug", "attack_success_deepwordbug", "attack_queries_deepwordbug"} <= set(both.columns)
    for board in (suite, both):
        assert board["order"].tolist() == plain["order"].tolist()
        assert board.score.tolist() == plain.score.tolist()
        assert board.robust_score.between(0, 100).all()
    assert (suite.robust_score == both.robust_score).all()


def test_the_robust_score_is_the_mean_over_the_grid(done):
    """Of each cell over severities, then over edits, languages and targets."""
    scores = pd.read_parquet(done["suite"][3] / "scores.parquet")
    board = pd.read_csv(done["suite"][3] / "leaderboard.csv").set_index("order")
    rows = scores[(scores.portion == "test") & (scores.metric == "robust")]
    share = rows.groupby(["target", "language", "perturbation"]).attackability.transform("mean")
    rows = rows[share >= ATTACKABLE]
    levels = ["order", "target", "language", "perturbation"]
    means = rows.groupby(levels).value.mean()
    for level in ("perturbation", "language", "target"):
        means = means.groupby([name for name in means.index.names if name != level]).mean()
    assert (means * 100).to_dict() == pytest.approx(board.robust_score.to_dict(), abs=0.0051)  # two digits are written


def test_robustness_and_coverage(done):
    folder = done["attacked"][3]
    robust, cover = (pd.read_csv(folder / f"{name}.csv", keep_default_na=False) for name in ("robustness", "coverage"))
    assert len(robust) == 2 * (2 + 2 + 1) * (2 + 2 + 1)  # orders, languages of the targets, cells
    assert set(robust.keeps) == {"form"}
    assert set(cover.perturbation) == {"keyboard", "casing"}
    assert set(cover.language) == {"en", "de"}
    assert not (done["plain"][3] / "robustness.csv").exists()


def test_the_manifest_holds_the_grid(done):
    manifest = json.loads((done["attacked"][3] / "manifest.json").read_text())
    edits, attack = ["keyboard", "casing"], ["attack:deepwordbug"]
    languages = {"mini-xnli": ["en", "de"], "mini-pos": ["en", "de"], "mini-tatoeba": ["de"]}
    for suite, cells in (("own", edits), ("hard", attack)):
        found = manifest["perturbed"][suite]
        assert {name: sorted(codes) for name, codes in found.items()} == {n: sorted(c) for n, c in languages.items()}
        assert all(cell == cells for codes in found.values() for cell in codes.values())
    assert manifest["suites"]["own"]["severities"] == [2, 5]
    assert json.loads((done["plain"][3] / "manifest.json").read_text())["perturbed"] == {}


def test_its_configuration_repeats_it(done):
    study, _, _, folder = done["attacked"]
    again = Study(*load_settings({"space": str(folder / "config.yaml")}, {}))
    assert again.suites == study.suites
    assert again.settings.perturbations == study.settings.perturbations
    one = next(iter(study.space))
    assert [s.key for s in again.stages(one, 0)] == [s.key for s in study.stages(one, 0)]


def test_a_perturbed_stage_says_in_its_label_what_it_is(done):
    _, _planner, _, folder = done["attacked"]
    labels = set(pd.read_csv(folder / "stages.csv").label)
    assert {"mini-topic | own mini-xnli #0", "none | deepwordbug mini-pos #0"} <= labels


# --- objectives and goals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["en-dev", "target-dev"])
def test_the_goal_robustness(tmp_path, tiny_model, files, objective):
    """A strategy is told the robust score of what it may see: English dev, or the search half."""
    settings = {"goals": ["score", "robustness"], "strategy": "random", "objective": objective}
    study = study_of(tmp_path, tiny_model, files / "own.yaml", targets="mini-xnli", languages="de", **settings)
    told = []
    planner = None

    def listen(event, about):
        if event == "told":
            told.append(about)

    store = Store(study.settings.store_url)
    bench = Bench(Workplace(**json.loads(study.workplace())))
    planner = Planner(study, store, listen)
    while not planner.finished:
        for stage in planner.take():
            outcome = bench.run(stage)
            about = {"key": outcome.key, "made": outcome.made, "seconds": 1.0, "worker": "w", "parent": outcome.parent}
            planner.report(about)
    scores = table(planner.rows)
    seen = "dev" if objective == "en-dev" else "search"
    rows = scores[(scores.portion == seen) & (scores.metric == "robust")]
    assert set(rows.language) == ({"en"} if objective == "en-dev" else {"de"})
    expected = rows.groupby(["order", "perturbation"]).value.mean().groupby("order").mean()
    assert len(told) == 2
    for about in told:
        values = about["values"] if "values" in about else about["value"]
        assert values[1] == pytest.approx(expected[str(about["candidate"].order)])
    portions = set(scores[scores.perturbation != "none"].portion)
    assert portions == {"en-dev": {"dev", "test"}, "target-dev": {"dev", "search", "report"}}[objective]


def test_the_goal_robustness_needs_a_suite(tmp_path, tiny_model):
    with pytest.raises(Exception, match="the goal robustness needs a perturbation suite"):
        study_of(tmp_path, tiny_model, goals=["score", "robustness"], strategy="random")


# --- refused before anything starts -----------------------------------------------------------------------------------


def refused(tmp_path, capsys, content, *more):
    (tmp_path / "s.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    words = ["--targets", "mini-xnli", "--languages", "en,de", "--limit", "8", "--out", str(tmp_path / "out")]
    for dry in ([], ["--dry-run"]):
        assert main([*words, "--perturbations", str(tmp_path / "s.yaml"), *map(str, more), *dry]) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert "Traceback" not in told
        assert not (tmp_path / "out").exists()
    return told


BAD = {
    "an unknown edit": ({**SUITE, "edits": ["keybord"]}, ["unknown edit 'keybord'", "did you mean 'keyboard'?"]),
    "an unknown recipe": (
        {**ATTACKS, "attacks": [{"recipe": "deepwordbog"}]}, ["no recipe 'deepwordbog'", "did you mean 'deepwordbug'?"]
    ),
    "nothing": ({"name": "s"}, ["the suite 's' has neither edits nor attacks"]),
    "a severity": ({**SUITE, "severities": [6]}, ["severities are distinct numbers from 1 to 5"]),
    "no severity": ({**SUITE, "severities": []}, ["severities"]),
    "an edit twice": ({**SUITE, "edits": ["casing", "casing"]}, ["'casing' is named twice"]),
    "a key": ({**SUITE, "severity": 3}, ["severity"]),
    "no examples": ({**SUITE, "examples": 0}, ["examples"]),
    "no queries": ({**ATTACKS, "attacks": [{"recipe": "pruthi", "queries": 0}]}, ["queries"]),
    "a recipe twice": ({**ATTACKS, "attacks": [{"recipe": "pruthi"}, {"recipe": "pruthi", "words": 1}]}, ["once"]),
    "a recipe that never serves": ({**ATTACKS, "attacks": [{"recipe": "textattack:hotflip"}]}, ["gradients"]),
    "another's settings": (
        {**ATTACKS, "attacks": [{"recipe": "textattack:deepwordbug", "most": 2}]}, ["its own number of candidates"]
    ),
    "no YAML": ("{", ["s.yaml"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_suites(tmp_path, capsys, name):
    content, told = BAD[name]
    said = refused(tmp_path, capsys, content)
    assert [text for text in [*told, "s.yaml"] if text not in said] == []


def test_an_unknown_suite(tmp_path, capsys):
    words = ["--limit", "8", "--out", str(tmp_path / "out"), "--perturbations", "standrad"]
    assert main(words) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "standrad" in told
    assert "standard" in told.replace("standrad", "")
    assert "--perturbations" in told
    assert not (tmp_path / "out").exists()


def test_one_suite_twice(tmp_path, capsys):
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(SUITE))
    told = refused(tmp_path, capsys, SUITE, "--perturbations", f"{tmp_path / 's.yaml'},{tmp_path / 't.yaml'}")
    assert "two suites are named 'own'" in told


@pytest.mark.parametrize("broken", ["missing", "empty", "malformed"])
def test_a_broken_lexicon(tmp_path, capsys, world, broken):
    folder = tmp_path / "words"
    if broken != "missing":
        folder.mkdir()
    if broken == "malformed":
        (folder / "en-de.jsonl").write_text('{"source": "dog"}\nnot json\n')
    content = {**SUITE, "edits": ["code-mixing"], "lexicons": str(folder)}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    before = world.files()
    assert main(world.study("--perturbations", tmp_path / "s.yaml")) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in told
    assert str(folder) in told or "en-de" in told
    assert world.files() == before


# --- decoders ---------------------------------------------------------------------------------------------------------


def decoder_study(folder, files, *suites, **changed):
    plain = {"targets": "mini-xnli", "languages": "de", "answer": "orders"}
    return study_of(folder, "micro-decoder", *(files / f"{s}.yaml" for s in suites), **{**plain, **changed})


@pytest.mark.parametrize("method", ["full", "icl", "icl-target"])
def test_a_decoder_is_scored_on_edited_prompts(tmp_path, files, method):
    study = decoder_study(tmp_path, files, "own", method=[method], methods={"icl": {"shots": 1, "draws": 3}})
    bench = Bench(Workplace(**json.loads(study.workplace())))
    arm = study.space.arms[0]
    stages = study.stages(Candidate(Order(()), *arm), 0)
    assert [stage.measure for stage in stages][-2:] == ["", "perturbations"]
    for stage in stages:
        bench.run(stage)
    clean, edited = (_rows(bench, stage) for stage in stages[-2:])
    assert {row["perturbation"] for row in edited[0]} == {"keyboard", "casing"}
    by_id = {(row["portion"], row["language"], row["id"]): row["score"] for row in clean[1]}
    assert len(edited[1]) > 0
    for row in edited[1]:
        assert row["clean"] == pytest.approx(by_id[row["portion"], row["language"], row["id"]], abs=1e-9)
    for portion, language in {(row["portion"], row["language"]) for row in edited[1]}:
        for name in ("keyboard", "casing"):
            for severity in (2, 5):
                here = {"portion": portion, "language": language, "perturbation": name, "severity": severity}
                own = [r for r in edited[1] if here.items() <= r.items()]
                values = {r["metric"]: r for r in edited[0] if here.items() <= r.items()}
                worse = [min(r["clean"], r["score"]) for r in own]
                assert values["robust"]["value"] == pytest.approx(sum(worse) / len(worse))
                assert values["accuracy"]["value"] == pytest.approx(sum(r["score"] for r in own) / len(own))
                assert values["accuracy"]["main"]
                assert values["robust"]["attackability"] == sum(r["attackable"] for r in own) / len(own) == 1
                assert not [metric for metric in values if "_draw_" in metric]
    assert any(row["score"] != row["clean"] for row in edited[1])


def _rows(bench, stage):
    import io

    content = bench.store.blob(stage.key, PREDICTIONS)
    return bench.store.record(stage.key)["scores"], pd.read_parquet(io.BytesIO(content)).to_dict("records")


def test_a_decoders_span_is_measured_by_its_f1(tmp_path, monkeypatch):
    """Of answers with a word too many, half right by that and wrong by exact match."""

    def said(model, task, examples, *given):
        return [f"{example.answers[0].text} xyz" for example in examples]

    monkeypatch.setattr(icl, "predict", said)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**SUITE, "edits": ["double-spaces", "keyboard"], "examples": 2}))
    study = study_of(
        tmp_path, "micro-decoder", tmp_path / "c.yaml", targets="mini-xquad", languages="de",
        answer="orders", limit=4, methods={"icl": {"max_new_tokens": 8}},
    )  # fmt: skip
    bench = Bench(Workplace(**json.loads(study.workplace())))
    stages = study.stages(Candidate(Order(()), *study.space.arms[0]), 0)
    for stage in stages:
        bench.run(stage)
    scores, items = _rows(bench, stages[-1])
    values = {r["metric"]: r["value"] for r in scores if r["portion"] == "test" and r["severity"] == 5
              and r["perturbation"] == "keyboard"}  # fmt: skip
    own = [r for r in items if r["portion"] == "test" and r["severity"] == 5 and r["perturbation"] == "keyboard"]
    assert values["f1"] == pytest.approx(sum(r["score"] for r in own) / len(own))
    assert values["f1"] == pytest.approx(2 * values["f1_em"])
    assert values["robust"] == values["f1"] > 0
    controls = [r for r in items if r["perturbation"] == "double-spaces"]
    assert all(r["score"] == r["clean"] and not r["attackable"] for r in controls)


def test_a_decoder_in_text_form_is_not_attacked(tmp_path, files):
    with pytest.raises(Mistakes) as told:
        decoder_study(tmp_path, files, "own", "hard").check()
    assert "the suite 'hard' has attacks" in str(told.value)
    decoder_study(tmp_path, files, "own").check()
    decoder_study(tmp_path, files, "hard", targets="mini-pos").check()


def test_a_decoder_has_no_masked_words_to_guess(tmp_path):
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({**SUITE, "edits": ["masked-lm", "casing"]}))
    study = study_of(tmp_path, "micro-decoder", tmp_path / "m.yaml", targets="mini-xnli", languages="de")
    assert study.perturbed["own"]["mini-xnli"] == {"de": ["casing"]}
    bench = Bench(Workplace(**json.loads(study.workplace())))
    stage = study.stages(Candidate(Order(()), *study.space.arms[0]), 0)[-1]
    assert [edit.name for edit in bench._suite(stage).lookup.made(bench._suite(stage).lookup.of(study.targets[0]))] == [
        "casing"
    ]
