"""Every command that README and docs show is read by the command line as it is; none is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from search.cli import parser_of
from search.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BEGINS = ("order-search ", "python search/run.py")


def code_lines(text):
    """Lines of code blocks, indented or fenced; a line that ends with a backslash goes on."""
    fenced, lines = False, []
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line.strip())
    return re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()


def inline(text):
    """Commands in running text, between backticks; those with [optional] parts or A|B say how a command is built, and
    a verb alone names a command."""
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text.replace("```", "")))
    return [span for span in spans if not re.search(r"[\[|…]|^order-search \S+$", span) or span == "order-search ls"]


def commands():
    for page in PAGES:
        text = page.read_text("utf-8")
        for line in dict.fromkeys([*code_lines(text), *inline(text)]):
            if line.startswith(BEGINS) and "…" not in line:
                yield pytest.param(line, id=f"{page.relative_to(ROOT)}: {line[:60]}")


COMMANDS = list(commands())


def words_of(line):
    """The verb and its words, without the comment, a redirection or a prompt."""
    words = shlex.split(line, comments=True)
    words = words[2:] if words[0] == "python" else words[1:]
    for sign in (">", "|", "&&"):
        words = words[: words.index(sign)] if sign in words else words
    return (words[0], words[1:]) if words and not words[0].startswith("-") else ("run", words)


@pytest.mark.parametrize("line", COMMANDS)
def test_it_is_read(line):
    verb, words = words_of(line)
    try:
        parser_of(verb).parse_args(words)
    except SystemExit as end:  # --help
        assert end.code == 0, line


def test_there_are_such_commands():
    verbs = {words_of(param.values[0])[0] for param in COMMANDS}
    assert len(COMMANDS) > 40
    assert {"run", "ls", "show", "validate", "leaderboard", "compare"} <= verbs <= {"run", *VERBS}
