"""`study.journal` of a running study: what the campaign says, as Optuna reads it."""

from __future__ import annotations

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from search.candidate import Arm
from search.order import OrderSpace
from search.recorder import Recorder
from search.scores import rows_of
from search.settings import Settings
from search.space import Space

SPACE = Space(OrderSpace("ab"), [Arm("full", 1e-3)])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "study.journal"


def recorder_of(**changed):
    return Recorder(Settings.model_validate({"space": "orders", **changed}), SPACE)


def read(path):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return optuna.load_study(study_name="orders", storage=storage)


def rows(candidate, *seeds):
    """Of two targets; one has English dev. Languages by portion differ; some rows are not the target's own."""
    found = []
    about = {"metric": "accuracy", "main": True, "n": 10, "stderr": None}
    off = {"test": 0.0, "search": 0.02, "report": -0.02}
    for seed in seeds:
        for target, values in (("xnli", {"de": 0.6, "sw": 0.4}), ("tatoeba", {"de": 0.9, "my": 0.1})):
            scores = [
                {"language": code, "portion": portion, "value": value + off[portion] + seed / 100, **about}
                for code, value in values.items()
                for portion in off
            ]
            dev = {"language": "en", "portion": "dev", "value": 0.8 + seed / 100, **about}
            other = {**scores[0], "metric": "f1", "main": False, "value": 0.0}
            found += rows_of(candidate, seed, target, [*scores, other, *([dev] if target == "xnli" else [])], ["my"])
    return found


def told(candidate, values, *seeds, pruned=False):
    return {"candidate": candidate, "values": values, "pruned": pruned, "rows": rows(candidate, *seeds)}


def test_what_is_heard_before_there_is_a_folder_is_kept(path):
    recorder = recorder_of()
    recorder.hear("proposed", {"candidate": SPACE[0]})
    recorder.hear("stage", {"label": "none"})
    recorder.hear("told", told(SPACE[0], (0.8,), 0, 1))
    recorder.hear("proposed", {"candidate": SPACE[1]})
    assert not path.exists()
    recorder.open(path)
    states = [trial.state for trial in read(path).trials]
    assert states == [TrialState.COMPLETE, TrialState.RUNNING]
    recorder.hear("run", {"name": "a"})
    recorder.hear("told", told(SPACE[1], (0.9,), 0, 1))
    recorder.hear("proposed", {"candidate": SPACE[2]})
    recorder.close()
    trials = read(path).trials
    assert [trial.user_attrs["order"] for trial in trials] == ["none", "a", "b"]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2 + [TrialState.FAIL]
    assert [trial.value for trial in trials] == [0.8, 0.9, None]


def test_what_became_of_candidates(path):
    recorder = recorder_of()
    recorder.open(path)
    ends = (told(SPACE[3], (0.7,), 0, 1), told(SPACE[1], None, 1), told(SPACE[2], (0.3,), 0, pruned=True))
    for about in ends:
        recorder.hear("proposed", {"candidate": about["candidate"]})
    for about in reversed(ends):
        recorder.hear("told", about)
    full, failed, pruned = read(path).trials
    assert (full.state, full.value) == (TrialState.COMPLETE, 0.7)
    assert full.params["position of a"] + full.params["position of b"] == 3
    assert (failed.state, failed.value, failed.user_attrs["roots"]) == (TrialState.FAIL, None, 1)
    assert (pruned.state, pruned.value, pruned.user_attrs["roots"]) == (TrialState.PRUNED, None, 1)


@pytest.mark.parametrize(
    ("objective", "selection", "zero_shot", "off"),
    [
        ("en-dev", {"xnli": 80.5}, {"xnli": 50.5, "tatoeba": 90.5}, 0.5),
        ("target-dev", {"xnli": 52.5, "tatoeba": 92.5}, {"xnli": 48.5, "tatoeba": 88.5}, -1.5),
    ],
)
def test_scores_are_in_percent_and_say_whose_they_are(path, objective, selection, zero_shot, off):
    """The selection's are those that the search is told; the zero-shot ones of items that it has not seen."""
    recorder = recorder_of(objective=objective)
    recorder.open(path)
    recorder.hear("proposed", {"candidate": SPACE[0]})
    recorder.hear("told", told(SPACE[0], (0.8,), 0, 1))
    found = read(path).trials[0].user_attrs
    assert found["roots"] == 2
    assert found[f"{objective} by target"] == pytest.approx(selection)
    assert found["zero-shot by target"] == pytest.approx(zero_shot)
    # German is the mean of two targets; what a target is not averaged over is left out.
    assert found["zero-shot by language"] == pytest.approx({"de": 75 + off, "sw": 40 + off})


def test_several_goals_have_directions(path):
    recorder = recorder_of(goals=["score", "cost"])
    recorder.open(path)
    recorder.hear("proposed", {"candidate": SPACE[0]})
    recorder.hear("told", told(SPACE[0], (0.8, -3.0), 0))
    study = read(path)
    assert study.directions == [StudyDirection.MAXIMIZE] * 2
    assert study.metric_names == ["score", "cost"]
    assert study.trials[0].values == [0.8, -3.0]


def test_closed_before_it_was_opened():
    """A study that ends before it has a folder."""
    recorder = recorder_of()
    recorder.hear("proposed", {"candidate": SPACE[0]})
    recorder.close()
