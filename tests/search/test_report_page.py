"""The page and its pictures as text: hostile names stay text, nothing is fetched, plotly takes the figures."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import itertools
import json
import re
from types import SimpleNamespace

import pandas as pd
import plotly.graph_objects as go
import pytest
import yaml
from made_runs import made_run

from search.analysis.finding import Finding
from search.analysis.findings import findings
from search.publish import published
from search.report.figures import DRAWINGS, LONGEST, draw, label, labels
from search.report.markdown import to_markdown
from search.report.rendering import embedded, render
from search.report.summary import summarize
from search.report.theme import paper, themed, themes
from search.report.write import write_report
from search.results import load

SCRIPT = "</script><script>window.hacked=1</script>"
HOSTILE = {
    "tag": '<img/src="x"onerror="window.hacked=1"', "quotes": "a'b\"c`d", "formula": "=cmd()", "long": "x" * 300,
    "right-to-left": "\u202eabc\u05d0\u05d1", "emoji": "🐸👩‍👩‍👧", "template": "{{7*7}}%{y}$x$",
}  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A study in which everything that is named is named badly."""
    tasks = tuple(HOSTILE.values())
    folder = made_run(
        tmp_path_factory.mktemp("hostile") / "run", tasks=tasks, max_length=1, roots=3, edits=["keyboard"],
        targets={SCRIPT.replace(" ", ""): ["en", "<b>"], "mini-pos": ["en", "de"]}, title=f"{SCRIPT} & <b>bold</b>",
        command=f"order-search run --space {SCRIPT}", notes=[SCRIPT, "<b>note</b>"],
        versions={SCRIPT: SCRIPT}, model={"name": SCRIPT, "fingerprint": "0" * 16},
    )  # fmt: skip
    results = load([folder])
    made = published(results)[0]
    table = pd.DataFrame({"task": list(tasks), "estimate": 1.0, "low": 0.5, "high": 1.5, "p": 0.01})
    found = [Finding("inclusion", SCRIPT, table, SCRIPT, notes=(SCRIPT,), primary=True)]
    about = {"answer": {"question": SCRIPT, "sentence": "<b>x</b>"}}
    summary = write_report(results, folder, made.board, found, about)
    return SimpleNamespace(folder=folder, summary=summary, page=(folder / "report.html").read_text("utf-8"))


def test_hostile_names_stay_text_in_the_page(hostile):
    scripts = re.findall(r"<script\b[^>]*>", hostile.page)
    assert len(scripts) == 4, scripts  # early, data, plotly, report
    assert SCRIPT not in hostile.page
    assert "<b>bold</b>" not in hostile.page
    assert "<img" not in hostile.page
    assert html.escape(SCRIPT) in hostile.page
    assert "49" not in re.findall(r"<h1>.*?</h1>", hostile.page)[0]


def test_hostile_names_stay_text_in_the_data(hostile):
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', hostile.page, re.DOTALL)[1]
    assert not set("<>&") & set(text)
    data = json.loads(text)
    assert data["tables"]["finding inclusion"]["rows"][0][0] == HOSTILE["tag"]


def test_hostile_names_stay_text_in_markdown_and_the_card(hostile):
    for text in (to_markdown(hostile.summary), (hostile.folder / "cards" / "RECOMMENDED.md").read_text("utf-8")):
        prose = re.sub(r"^---\n.*?^---\n|^```.*?^```|^    .*?$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert len(prose) > 1000
        assert not [line for line in prose.splitlines() if re.search(r"<(script|/script|b|img)", line)]


def test_hostile_names_stay_text_in_pictures():
    assert label("<b>x</b> & <a href='y'>") == "&lt;b&gt;x&lt;/b&gt; &amp; &lt;a href='y'&gt;"
    assert label("a\nb\tc") == "a b c"
    assert label("\u202eabc") == "abc"
    assert label("\u05d0\u05d1") == "\u2068\u05d0\u05d1\u2069"
    assert len(label("y" * 300)) <= LONGEST
    assert len(set(labels(["a" * 300, "a" * 300, "a" * 300]))) == 3


def test_json_in_a_script_element_cannot_end_it():
    text = embedded({"a": "</script><!--", "b": "\u2028 & '"})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": "\u2028 & '"}


def test_the_policy_names_the_scripts_and_forbids_all_else(hostile):
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', hostile.page)[1])
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["default-src"] == "'none'"
    assert "unsafe" not in parts["script-src"]
    inline = re.findall(r"<script>(.*?)</script>", hostile.page, re.DOTALL)
    packed = re.search(r'id="plotly">(.*?)</script>', hostile.page, re.DOTALL)[1]
    inline.append(gzip.decompress(base64.b64decode(packed)).decode())
    assert len(inline) == 3
    for script in inline:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in parts["script-src"]


def test_nothing_in_the_page_is_elsewhere(hostile):
    outside = re.sub(r"<script.*?</script>", "", hostile.page, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href|action)=["'](?!#|data:)""", outside)
    assert "url(" not in outside
    assert "@import" not in outside


def test_every_picture_has_a_sentence_a_table_and_headings_in_order(hostile):
    assert len(re.findall(r"<figure ", hostile.page)) == len(list(hostile.summary.pictures()))
    for picture in hostile.summary.pictures():
        assert picture.sentence
        assert len(picture.table)
    levels = [int(level) for level in re.findall(r"<h([1-6])", hostile.page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = re.findall(r' id="([^"]*)"', hostile.page)
    assert len(ids) == len(set(ids))


def test_plotly_takes_every_figure_in_every_theme(tmp_path):
    folder = made_run(
        tmp_path / "run", tasks=("mini-nli", "mini-tags", "mini-topic"), max_length=2, roots=4, edits=["keyboard"],
        severities=[1, 3], forgetting=True, controls=True, seed_control=5,
    )  # fmt: skip
    results = load([folder])
    summary = summarize(results, published(results)[0].board, findings(results))
    kinds = set()
    for theme in (*themes().values(), paper()):
        go.Figure({"layout": {"template": theme["template"]}})  # it checks every name and value
    for picture in summary.pictures():
        kinds.add(picture.kind)
        for theme in themes().values():
            figure = themed(draw(picture), theme)
            go.Figure({**figure, "layout": {**figure["layout"], "template": None}})
    assert kinds == set(DRAWINGS)
    names = [picture.name for picture in summary.pictures()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[\w.-]+", name) for name in names)


def test_the_best_of_each_column_is_bold_and_better_is_told(tmp_path):
    folder = made_run(tmp_path / "run", max_length=1, roots=3, effects={"mini-nli": 10.0})
    results = load([folder])
    page = render(summarize(results, published(results)[0].board, []))
    row = re.search(r'<tr data-order="mini-nli".*?</tr>', page, re.DOTALL)[0]
    assert re.search(r"<b>\d\d\.\d</b> <small>± ", row)
    assert "score ↑" in page
    assert "gap to English ↓" in page


def test_the_card_has_valid_front_matter(hostile):
    from huggingface_hub import ModelCard

    text = (hostile.folder / "cards" / "RECOMMENDED.md").read_text("utf-8")
    front = yaml.safe_load(text.split("---")[1])
    assert front["language"] == ["en", "de"]
    parsed = ModelCard(text).data
    assert parsed.library_name == "transformers"
    assert {result.dataset_name for result in parsed.eval_results} == {SCRIPT, "mini-pos"}
    assert {result.metric_value for result in parsed.eval_results} <= {
        round(float(v), 2) for v in hostile.summary.board[[c for c in hostile.summary.board if c.startswith("target_")]]
        .to_numpy().ravel()
    }  # fmt: skip
