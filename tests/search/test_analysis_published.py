"""Published figures stand beside a study's own where it repeats their setting, and nowhere else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import made_run

from search.analysis.published import XTREME, entries, published, published_columns, repeats_preset
from search.results import load
from search.settings import load_settings
from trainables.config import names

MODEL = "FacebookAI/xlm-roberta-large"
TARGETS = {"xnli": ["en", "de"], "xquad": ["en", "de"], "tatoeba": ["de"]}
PAPER = {"preset": "prompt-paper", "model": MODEL}


def made(tmp_path, settings, **options):
    options = {"tasks": ("mini-nli",), "roots": 3, "targets": TARGETS, **options}
    return load([made_run(tmp_path / "run", settings=settings, **options)])


def test_the_setting_of_a_paper_has_its_figures(tmp_path):
    results = made(tmp_path, PAPER)
    columns = published_columns(results)
    assert list(columns.index) == ["none full 0.0007"]  # no order of tasks is in that paper
    row = columns.iloc[0]
    assert row.published == "xnli 78.8 ± 0.2 (arXiv 2210.12360); xquad F1/EM 77.3/61.8 (arXiv 2210.12360)"
    assert row.published_xnli == 78.8 and row.published_xquad == pytest.approx((77.3 + 61.8) / 2)
    found = published(results)
    table = found.table.set_index("target")
    own = results.by_target()["xnli"].loc["none full 0.0007"]
    assert table.own["xnli"] == pytest.approx(own.mean()) and table.plus_minus["xnli"] == 0.2
    assert table.estimate["xnli"] == pytest.approx(own.mean() - 78.8)
    assert table.low["xnli"] < table.estimate["xnli"] < table.high["xnli"]
    assert "78.8 in arXiv 2210.12360" in found.sentence


def test_prompts_are_matched_by_their_length(tmp_path):
    settings = {"preset": "prompt-paper-prompts", "model": MODEL}
    results = made(tmp_path, settings, methods=("prompt",), targets={"xnli": ["en"], "pawsx": ["en"]})
    for length, shown in ((32, "xnli 79.9 ± 0.1 (arXiv 2210.12360)"), (16, "pawsx 88.4 ± 0.3 (arXiv 2210.12360)")):
        about = results.candidates.assign(prompt_length=length)
        assert published_columns(replace(results, candidates=about)).published.tolist() == [shown]


def test_a_gain_is_of_all_nine_targets(tmp_path):
    nine = {name: ["en"] for name in sorted(XTREME)}
    settings = {"preset": "intermediate", "model": MODEL}
    results = made(tmp_path, settings, tasks=("mnli", "hellaswag"), targets=nine)
    assert published_columns(results).published.to_dict() == {
        "mnli full 0.0007": "all +7.5 (arXiv 2005.13013)", "hellaswag full 0.0007": "all +7.0 (arXiv 2005.13013)",
    }  # fmt: skip
    row = published(results).table.set_index("candidate").loc["mnli full 0.0007"]
    whole = results.overall()
    gain = (whole.loc["mnli full 0.0007"] - whole.loc["none full 0.0007"]).mean()
    assert row.own == pytest.approx(gain) and row.estimate == pytest.approx(gain - 7.5)
    few = made(tmp_path / "few", settings, tasks=("mnli",), targets={"xnli": ["en"]})
    assert published_columns(few).empty


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "FacebookAI/xlm-roberta-base"}, {"preset": "xtreme"}, {"train": {"batch_size": 8}},
        {"max_length": {"xnli": 64}}, {"objective": "target-dev"}, {"languages": ["en", "de"]},
    ],
)  # fmt: skip
def test_another_setting_has_none(tmp_path, changed):
    assert published_columns(made(tmp_path, PAPER | changed)).empty


def test_part_of_the_data_has_none(tmp_path):
    results = made(tmp_path, PAPER)
    for changed in ({"limited": 100}, {"partial": {"xnli": "2 of 15", "xquad": "2 of 11"}}):
        run = replace(results.runs[0], manifest={**results.manifest, **changed})
        assert published_columns(replace(results, runs=(run,))).empty
    assert published_columns(replace(results, differences=("data differ",))).empty


def test_mini_studies_have_none(tmp_path):
    found = published(load([made_run(tmp_path / "run", tasks=("mini-nli",), roots=3)]))
    assert not len(found.table) and found.sentence.startswith("Nothing to compare with")
    settings, _ = load_settings({"space": "orders"})
    assert not repeats_preset(settings)


def test_every_entry_is_of_a_preset_that_repeats_it():
    for entry in entries():
        assert entry.preset in names("presets")
        settings, _ = load_settings({"preset": entry.preset, "suite": "xtreme-full"})
        assert repeats_preset(settings) and settings.model == entry.model and entry.method in settings.method


def test_no_figure_is_from_memory():
    """Each stands in the protocols' lines that are marked as stated, or read in the authors' code."""
    path = Path(__file__).parents[3] / "shared" / "reference" / "protocols.md"
    if not path.is_file():
        pytest.skip("the reference texts are not here")
    lines = [
        line for line in path.read_text("utf-8").splitlines() if re.search(r"\[[SC]\]", line) and "[R]" not in line
    ]
    for entry in entries():
        for figure in entry.figures:
            told = f"{figure.value:+.1f}" if figure.metric == "gain" else f"{figure.value:.1f}"
            assert any(told in line for line in lines), (entry.source, figure)
