"""`study.journal` as Optuna and its dashboard read it."""

from __future__ import annotations

import io
import json

import optuna
import pytest
from optuna.trial import TrialState

from search.candidate import Arm, Candidate
from search.journal import Journal
from search.order import Order, OrderSpace
from search.space import Space

ARMS = [Arm("full", 1e-5), Arm("prompt", 1e-2, 16), Arm("prompt", 1e-2, 32)]
SPACE = Space(OrderSpace(["mnli", "squad", "qqp"], "groups"), ARMS, controls=[Order.parse("sham")])


def candidate(order, arm=ARMS[0]):
    return Candidate(Order.parse(order), *arm)


def storage_of(path):
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))


def read(path):
    return optuna.load_study(study_name="study", storage=storage_of(path))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "study.journal"


def test_candidates_are_trials_in_words(path):
    journal = Journal(path, SPACE)
    journal.begin(candidate("squad>mnli+qqp"))
    journal.begin(candidate("sham", ARMS[2]))
    first, second = read(path).trials
    assert first.params == {
        "length": 2, "position of mnli": 2, "position of squad": 1, "position of qqp": 2, "position of sham": 0,
        "method": "full", "learning_rate": 1e-5,
    }  # fmt: skip
    assert first.user_attrs["order"] == "squad>mnli+qqp"
    assert first.user_attrs["candidate"] == candidate("squad>mnli+qqp").name
    assert second.params["position of sham"] == 1
    assert second.params["prompt_length"] == 32


def test_a_trial_runs_until_its_candidate_is_told(path):
    journal = Journal(path, SPACE)
    asked = [candidate(order) for order in ("none", "mnli", "squad", "qqp", "mnli>qqp")]
    for one in asked:
        journal.begin(one)
    assert [trial.state for trial in read(path).trials] == [TrialState.RUNNING] * 5
    journal.end(asked[2], [0.7], attributes={"seeds": 3, "xnli/sw": 0.61, "cost": {"stages": 2}})
    journal.end(asked[0], [0.5])
    journal.end(asked[1], None)
    journal.end(asked[3], None, pruned=True)
    journal.end(asked[4], [float("nan")])
    study = read(path)
    states = [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [trial.state for trial in study.trials] == states
    assert study.best_trial.user_attrs["order"] == "squad"
    assert study.best_value == 0.7
    told = study.trials[2]
    assert (told.user_attrs["seeds"], told.user_attrs["xnli/sw"], told.user_attrs["cost"]) == (3, 0.61, {"stages": 2})
    assert told.datetime_start < told.datetime_complete


def test_several_objectives_have_names_and_directions(path):
    journal = Journal(path, SPACE, objectives={"score": "maximize", "cost": "minimize"})
    for order, values in (("none", [0.5, 1]), ("mnli", [0.6, 2]), ("squad", [0.4, 3])):
        journal.begin(candidate(order))
        journal.end(candidate(order), values)
    study = read(path)
    assert study.metric_names == ["score", "cost"]
    assert [trial.user_attrs["order"] for trial in study.best_trials] == ["none", "mnli"]
    journal.begin(candidate("qqp"))
    with pytest.raises(ValueError, match="2 values"):
        journal.end(candidate("qqp"), [0.5])


def test_budgets_are_trials_of_their_own(path):
    journal = Journal(path, SPACE)
    journal.begin(candidate("mnli").at(0.5))
    journal.begin(candidate("mnli"))
    with pytest.raises(ValueError, match="runs already"):
        journal.begin(candidate("mnli"))
    journal.end(candidate("mnli"), [0.5])
    with pytest.raises(ValueError, match="does not run"):
        journal.end(candidate("mnli"), [0.5])
    assert [trial.user_attrs["budget"] for trial in read(path).trials] == [0.5, 1.0]


def test_a_new_run_begins_a_new_file(path):
    Journal(path, SPACE).begin(candidate("mnli"))
    Journal(path, SPACE).begin(candidate("qqp"))
    assert [trial.user_attrs["order"] for trial in read(path).trials] == ["qqp"]
    assert [file.name for file in path.parent.iterdir()] == ["study.journal"]


def test_what_is_left_running_is_closed_as_failed(path):
    journal = Journal(path, SPACE)
    journal.begin(candidate("mnli"))
    journal.begin(candidate("qqp"))
    journal.end(candidate("mnli"), [0.5])
    journal.close()
    assert [trial.state for trial in read(path).trials] == [TrialState.COMPLETE, TrialState.FAIL]


def test_nothing_is_printed(path, capfd):
    Journal(path, SPACE).begin(candidate("mnli"))
    assert capfd.readouterr() == ("", "")


def answer(app, place):
    """What the dashboard's server sends for a GET, as JSON."""
    said = []
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": place, "QUERY_STRING": "", "SERVER_NAME": "here", "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http",
    }  # fmt: skip
    body = b"".join(app(environ, lambda status, headers, *error: said.append(status)))
    assert said == ["200 OK"]
    return json.loads(body)


def test_the_dashboard_follows_the_file_while_it_grows(path):
    dashboard = pytest.importorskip("optuna_dashboard")
    journal = Journal(path, SPACE)
    storage = storage_of(path)  # opened once; a server made anew, for each caches trials for two seconds
    (study,) = answer(dashboard.wsgi(storage), "/api/studies")["study_summaries"]
    assert study["study_name"] == "study"
    for number, arm in enumerate(ARMS):
        journal.begin(candidate("mnli>qqp", arm))
        journal.end(candidate("mnli>qqp", arm), [number], attributes={"seeds": 2})
        detail = answer(dashboard.wsgi(storage), "/api/studies/0")
        assert len(detail["trials"]) == number + 1
        assert detail["best_trials"][0]["values"] == [number]
    shown = {one["name"]: one["param_external_value"] for one in detail["trials"][-1]["params"]}
    assert shown["position of qqp"] == "2"
    assert {"key": "order", "value": "mnli>qqp"} in detail["trials"][-1]["user_attrs"]
