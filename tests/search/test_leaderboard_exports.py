"""Every format of a leaderboard, read back: names stay text, the best is bold, all is as in the golden files."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from boards import ABOUT, TWO, board_of, scores

from search.leaderboard import cells, leaderboard, shown, to_json, to_markdown
from search.leaderboard.exports import FORMATS, write_all
from search.leaderboard.sheet import sheet
from search.leaderboard.tex import PAGE, escaped, to_tex
from search.leaderboard.webpage import to_html

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PDFLATEX = shutil.which("pdflatex")

NAMES = {
    "script": "<script>alert(1)</script>", "quotes": "\"it's\" ‘so’ “so” `so`", "formula": "=cmd()|' /C calc'!A0",
    "at": "@SUM(1)", "plus": "+1", "minus": "-1", "pipes": "a|b||c", "newline": "a\nb\r\nc\rd\te", "long": "x" * 300,
    "long words": " ".join(["word"] * 60), "right to left": "\u202eabc\u200f \u0645\u0631\u062d\u0628\u0627",
    "emoji": "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{FIRE} \u4e2d\u6587 \u0e44\u0e17\u0e22",
    "accents": "naïve Ångström łódź Çã ß ő", "entities": "&lt;b&gt; &amp; &#60;",
    "tex": r"\input{/etc/passwd} 50% $x_1^2$ #1 ~ {a} & [b] *c* --d-- ,,e'' <<f>> ?` !`",
    "markdown": "*b* _i_ **s** ~~d~~ [l](http://x) ![i](x) # h `c` <b>", "controls": "a\x1b[31mred\x07\x00b",
}  # fmt: skip


def board_named(name):
    return board_of({name: [{"x": {"en": 50, "de": 40}}] * 3, "none": [{"x": {"en": 40, "de": 30}}] * 3})


def about_named(name):
    return {
        "title": name, "notes": [name, f"# {name}"], "answer": {"question": name, "sentence": name}, "finals": name,
        "columns": {"target_x": name},
    }  # fmt: skip


def squeezed(text):
    """What one line of text is after white space and control characters."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "\ufffd", " ".join(text.split()))


class Page(HTMLParser):
    """What a browser would find: the tags and the text of each cell."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.rows, self.text, self.inside = [], [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        self.text.append(data)
        if self.inside:
            self.rows[-1][-1] += data


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_hostile_names_stay_text_in_html(name):
    plain = Page(to_html(board_named("a"), ABOUT | {"columns": {"target_x": "x"}}))
    page = Page(to_html(board_named(name), about_named(name)))
    tags = [tag for tag, _ in page.tags if tag != "bdi"]
    assert not set(tags) - {tag for tag, _ in plain.tags} - {"p", "strong"}
    assert all(not key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert [row[1] for row in page.rows] == ["order", squeezed(name), "none"]
    assert len({len(row) for row in page.rows}) == 1
    assert page.text.count(squeezed(name)) >= 5  # title twice, order, note, question


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_hostile_names_stay_text_for_machines(name, tmp_path):
    board = board_named(name)
    write_all(tmp_path, board, about_named(name))
    (first, _) = csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_bytes().decode(), newline=""))
    told = first["order"]
    assert told.removeprefix("'") == name.replace("\r", " ").removeprefix("'")
    assert not told.startswith(("=", "+", "-", "@", "\t", "\r"))
    content = json.loads((tmp_path / "leaderboard.json").read_text("utf-8"))
    assert (content["rows"][0]["order"], content["title"]) == (name, name)
    assert pd.read_parquet(tmp_path / "leaderboard.parquet").order.to_list() == [name, "none"]


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_hostile_names_stay_text_in_markdown(name):
    text = to_markdown(board_named(name), about_named(name))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table}) == 1  # as many cells in each line
    assert "<" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
    assert len([line for line in text.splitlines() if line.startswith("#")]) == 1
    assert all(len(line) < 800 for line in table)
    for line in text.splitlines():
        if line.startswith("- "):
            assert not re.match(r"- (#|[-+*>]|\d+[.)] )", line)


def bold(line):
    return re.findall(r"\*\*(.+?)\*\*", line)


def test_the_best_of_each_column_is_bold_among_those_ranked():
    board = board_of({**TWO, "b": [None, {"xnli": {"en": 99, "de": 99, "sw": 99}, "tatoeba": {"de": 99, "sw": 99}}]})
    lines = to_markdown(board, ABOUT).splitlines()[4:8]
    assert [bold(line) for line in lines] == [["55.0", "45.0"], ["sw 49.0", "9.0", "66.0"], [], []]
    page = Page(to_html(board, ABOUT))
    assert [tag for tag, attributes in page.tags if "best" in attributes.get("class", "")] == ["td"] * 5
    assert to_tex(board, ABOUT).count(r"\textbf{") == 5


def test_ties_are_all_bold_and_one_alone_is_not():
    rows = {"a": [{"x": {"de": 50.01}}], "b": [{"x": {"de": 50.04}}]}  # alike in the digits that are shown
    assert [bold(line) for line in to_markdown(board_of(rows), ABOUT).splitlines()[4:6]] == [
        ["50.0", "de 50.0", "50.0"]
    ] * 2
    assert "**" not in to_markdown(board_of({"a": rows["a"]}), ABOUT)


def test_few_shot_candidates_have_a_best_of_their_own():
    few = pd.concat(
        [scores({order: TWO[order]}, method="icl-target", candidate=f"{order} icl") for order in ("a", "none")]
    )
    board = leaderboard(pd.concat([scores(TWO), few]), {}, "test")
    best = [[cell.best for cell in row] for row in sheet(board, ABOUT).rows]
    place = shown(board).index("score ↑")
    assert [row[place] for row in best] == [True, False, False, True, False]


def test_long_names_are_cut_for_people_alone():
    board = board_named("x" * 300)
    assert "x" * 300 not in to_markdown(board, ABOUT) + to_tex(board, ABOUT)
    assert "x" * 300 in to_html(board, ABOUT)
    assert "x" * 300 in to_json(board, ABOUT)


def test_the_page_needs_nothing_else():
    text = to_html(board_of(TWO), ABOUT)
    assert not re.search(r"https?:|<script|<link|<img|@import|url\(", text)
    parts = ("<!DOCTYPE html>", 'lang="en"', "prefers-color-scheme: dark", "width=device-width", "default-src 'none'")
    for part in (*parts, "overflow-x: auto"):
        assert part in text


def test_an_empty_leaderboard_in_every_format():
    for name, made in FORMATS.items():
        assert made(pd.DataFrame(), ABOUT), name


# --- LaTeX ------------------------------------------------------------------------------------------------------------


def compiled(folder, text):
    """Compile as the file's own first lines say."""
    (folder / "leaderboard.tex").write_text(text, "utf-8")
    command = re.search(r"^% pdflatex '(.*)'$", text, re.MULTILINE)[1]
    flags = ["-interaction=nonstopmode", "-halt-on-error", "-jobname=alone"]
    done = subprocess.run([PDFLATEX, *flags, command], cwd=folder, capture_output=True, timeout=120)
    log = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, log[-2000:]
    return log


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
def test_it_compiles_with_every_name(tmp_path):
    names = {**NAMES, "every": "".join(map(chr, range(32, 0x250))), "signs": "↑↓±×−–—‡…·’“”"}
    board = board_of({name: [{"x": {"en": 50, "de": 40}}] * 3 for name in names.values()})
    log = compiled(tmp_path, to_tex(board, {**about_named("".join(NAMES.values())), "notes": list(names.values())}))
    assert "Missing character" not in log
    assert (tmp_path / "alone.pdf").stat().st_size > 10_000


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
def test_a_long_table_compiles_over_pages(tmp_path):
    board = board_of({f"order-{n}": [{"x": {"en": 50 + n / 100, "de": 40}}] for n in range(PAGE + 60)})
    text = to_tex(board, ABOUT)
    assert r"\begin{longtable}" in text
    assert re.search(r"Output written on alone.pdf \(([2-9]) pages", compiled(tmp_path, text))


def test_signs_that_latex_would_read_are_escaped():
    assert escaped("a_b 50% \\x {y} #1 $ & ~ ^") == (
        r"a\_b 50\% \textbackslash{}x \{y\} \#1 \$ \& \textasciitilde{} \textasciicircum{}"
    )
    assert escaped("é ő \N{GRINNING FACE}") == r"\'{e} \H{o} \ordersearchchar{1F600}"
    assert escaped("a--b ?` ''") == "a-{}-b ?{}\\char96{} '{}'"


# --- golden files -----------------------------------------------------------------------------------------------------


def golden_board():
    """Three roots, a candidate without one of them, one that is few-shot, own training sets, stress on names."""
    rows = {
        order: [
            {target: {code: value + shift for code, value in codes.items()} for target, codes in roots[0].items()}
            for shift in (0, 0.4, -0.7)
        ]
        for order, roots in TWO.items()
    }
    rows["b"] = [None, *rows["a"][:2]]
    rows["a_1>é"] = [
        {target: {code: v - 9 for code, v in codes.items()} for target, codes in root.items()} for root in rows["a"]
    ]
    few = scores({"none": rows["a>b"]}, method="icl-target", candidate="none icl-target")
    cost = {f"{order} full 0.001": cost for cost, order in enumerate(rows, 1)}
    told = {order: {"own_training_set": "xnli" if order == "a" else ""} for order in rows}
    return leaderboard(pd.concat([scores(rows), few]), cost, "test", told)


GOLDEN_ABOUT = {
    **ABOUT,
    "notes": [*ABOUT["notes"], "‡ the target's own training set is among the order's tasks: no transfer (xnli)"],
    "answer": {"question": "Which order transfers best?", "sentence": "a leads: +20.00 ± 0.00 points (95 %; 3 roots)."},
    "finals": "", "columns": {"target_xnli": "xnli, 2 of 9 languages", "target_tatoeba": "tatoeba"}, "by": "",
}  # fmt: skip


@pytest.mark.parametrize("name", ["md", "csv", "json", "html", "tex"])
def test_what_is_written_is_the_golden_file(name):
    """`UPDATE_GOLDEN=1 python -m pytest tests/search/test_leaderboard_exports.py` writes them anew."""
    text, file = FORMATS[name](golden_board(), GOLDEN_ABOUT), GOLDEN / f"leaderboard.{name}"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_bytes(text.encode())
    assert text.encode() == file.read_bytes()


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
def test_the_golden_table_compiles(tmp_path):
    compiled(tmp_path, (GOLDEN / "leaderboard.tex").read_text("utf-8"))


def test_every_format_says_the_same(tmp_path):
    board = golden_board()
    rows = [cells(record, board, GOLDEN_ABOUT["columns"]) for record in board.to_dict("records")]
    assert Page(to_html(board, GOLDEN_ABOUT)).rows[1:] == rows
    assert pd.read_parquet(io.BytesIO(FORMATS["parquet"](board, GOLDEN_ABOUT))).score.to_list() == board.score.to_list()
