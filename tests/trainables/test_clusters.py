"""Which items stand and fall together, from what their sets look like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trainables.clusters import clusters
from trainables.examples import Answer, Example
from trainables.tasks import load_task

CODES = ("en", "de", "sw")


def of(name, rows):
    return clusters(load_task(name, "test"), rows)


def sizes(own):
    """How many items each cluster has, as they first occur."""
    marks = list(own.values())
    return [marks.count(mark) for mark in dict.fromkeys(marks)]


def nli(code, labels="abcabc"):
    return [Example(str(n), code, f"{code} premise {n // 3}", f"{code} {n}", label) for n, label in enumerate(labels)]


def asked(code, titles=("one", "one", "two", "two"), start=0):
    return [
        Example(f"q{start + n}", code, "who?", f"{code} context {n // 2}", answers=(Answer("x", n),), article=title)
        for n, title in enumerate(titles)
    ]


def test_hypotheses_of_one_premise_are_one_cluster_in_all_languages():
    found = of("xnli", {code: nli(code) for code in CODES})
    assert found["en"] == found["de"] == found["sw"]
    assert sizes(found["en"]) == [3, 3]


def test_questions_on_one_context_are_one_cluster_where_languages_are_parallel():
    found = of("xquad", {code: asked(code, titles=("one",) * 6) for code in CODES})
    assert found["en"] == found["sw"]
    assert sizes(found["en"]) == [2, 2, 2]


def test_questions_that_are_not_parallel_are_clustered_by_article_in_their_language():
    rows = {"en": asked("en"), "de": asked("de", ("one", "one", "one"), 1), "sw": asked("sw", ("", "", ""), 9)}
    found = of("mlqa", rows)
    assert sizes(found["en"]) == [2, 2]
    assert sizes(found["de"]) == [3]
    assert sizes(found["sw"]) == [2, 1]  # no title: by context
    marks = [set(own.values()) for own in found.values()]
    assert not (marks[0] & marks[1] | marks[0] & marks[2] | marks[1] & marks[2])


@pytest.mark.parametrize("other", ["cabcab", "abcab"])
def test_equal_ids_alone_make_no_translation(other):
    """Other labels under the same ids, or too few of the ids."""
    found = of("xnli", {"en": nli("en"), "de": nli("de", other)})
    assert not set(found["en"].values()) & set(found["de"].values())
    assert sizes(found["en"])[0] == 3


def test_a_few_items_that_are_left_out_change_nothing():
    rows = {"en": nli("en", "abc" * 10), "de": nli("de", "abc" * 10)[1:]}
    found = of("xnli", rows)
    assert found["de"].items() <= found["en"].items()


def test_retrieval_is_parallel_where_the_english_side_is():
    rows = {code: [Example(str(n), code, f"{code} {n}", f"English {n}") for n in range(4)] for code in CODES}
    same = of("tatoeba", rows)
    assert same["de"] == same["sw"]
    rows["sw"] = [replace(row, pair=f"other {row.id}") for row in rows["sw"]]
    assert not set(of("tatoeba", rows)["sw"].values()) & set(same["de"].values())


def test_a_sentence_to_mine_stands_with_its_translation():
    rows = [Example("s", "de", "a", "t", "source"), Example("t", "de", "b", "s", "target"), Example("u", "de", "c")]
    assert sizes(of("bucc", {"de": rows})["de"]) == [2, 1]


def test_marks_say_nothing_of_the_text_and_stay_the_same():
    found = of("xnli", {"en": nli("en")})
    assert all(len(mark) == 12 and int(mark, 16) >= 0 for mark in found["en"].values())
    assert found == of("xnli", {"en": nli("en")})
    assert of("xnli", {}) == {}
