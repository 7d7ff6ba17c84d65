"""What orders are worth in the study of strategies: instances and published formats, against hand-written sums."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.strategies.formats import read
from benchmarks.strategies.transfer import RECENCY, transfer
from trainables.errors import Mistake


def above_diagonal(matrix, items):
    return sum(matrix[items[i]][items[j]] for i in range(len(items)) for j in range(i + 1, len(items)))


def tour(distances, items):
    return sum(distances[items[i - 1]][items[i]] for i in range(len(items)))


def assignment(first, second, items):
    size = range(len(items))
    return sum(first[k][m] * second[items[k]][items[m]] for k in size for m in size)


def makespan(times, items):
    """Of the longest path through the grid of machines and jobs."""
    done = {}
    for machine, row in enumerate(times):
        for place, job in enumerate(items):
            before = (done.get((machine - 1, place), 0), done.get((machine, place - 1), 0))
            done[machine, place] = max(before) + row[job]
    return done[len(times) - 1, len(items) - 1]


LOP = [[0, 3, 9, 1], [5, 0, 2, 8], [4, 7, 0, 6], [2, 1, 3, 0]]
TSP = [[0, 3, 9, 1], [3, 0, 2, 8], [9, 2, 0, 6], [1, 8, 6, 0]]
FLOW = [[3, 9, 1], [5, 2, 8]]  # two machines, three jobs


def text_of(rows):
    return "\n".join(" ".join(map(str, row)) for row in rows)


def checked(instance, value):
    """The instance's values are those of a hand-written sum, over all orders."""
    orders = list(itertools.permutations(range(instance.size)))
    assert instance.values(np.array(orders)).tolist() == pytest.approx([value(items) for items in orders])


@pytest.fixture
def file(tmp_path):
    def write(text, name="instance"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("title", ["", "a small table of trade\n", "2 lines of title, 4 items\n"])
def test_lolib(file, title):
    checked(read("lop", file(f"{title}4\n{text_of(LOP)}\n")), lambda items: above_diagonal(LOP, items))


def test_qaplib_negates_the_cost(file):
    instance = read("qap", file(f"4\n\n{text_of(LOP)}\n\n{text_of(TSP)}\n"))
    checked(instance, lambda items: -assignment(LOP, TSP, items))


def test_taillard_with_several_instances_in_a_file(file):
    head = "number of jobs, number of machines, initial seed, upper bound and lower bound :"
    parts = [(FLOW, 17), ([[1, 2, 3], [3, 2, 1]], 9)]
    path = file("\n".join(f"{head}\n 3 2 12345 {b} 5\nprocessing times :\n{text_of(rows)}" for rows, b in parts))
    for number, (rows, bound) in enumerate(parts, start=1):
        instance = read("pfsp", f"{path}#{number}")
        checked(instance, lambda items, rows=rows: -makespan(rows, items))
        assert instance.best == -bound
    assert read("pfsp", path).best == -17
    with pytest.raises(Mistake, match="no instance number 3"):
        read("pfsp", f"{path}#3")


WEIGHTS = {
    "FULL_MATRIX": "0 3 9 1\n3 0 2 8\n9 2 0 6\n1 8 6 0",
    "UPPER_ROW": "3 9 1\n2 8\n6",
    "LOWER_ROW": "3\n9 2\n1 8 6",
    "UPPER_DIAG_ROW": "0 3 9 1 0 2 8 0 6 0",
    "LOWER_DIAG_ROW": "0 3 0\n9 2 0 1 8\n6 0",
    "UPPER_COL": "3 9 2 1 8 6",
    "LOWER_COL": "3 9 1 2 8 6",
    "UPPER_DIAG_COL": "0 3 0 9 2 0 1 8 6 0",
    "LOWER_DIAG_COL": "0 3 9 1 0 2 8 0 6 0",
}


@pytest.mark.parametrize("form", WEIGHTS)
def test_tsplib_explicit_weights(file, form):
    head = f"NAME: own\nTYPE : TSP\nDIMENSION: 4\nEDGE_WEIGHT_TYPE: EXPLICIT\nEDGE_WEIGHT_FORMAT: {form}\n"
    instance = read("tsp", file(f"{head}EDGE_WEIGHT_SECTION\n{WEIGHTS[form]}\nEOF\n"))
    checked(instance, lambda items: -tour(TSP, items))


@pytest.mark.parametrize(
    ("kind", "points", "length"),
    [
        ("EUC_2D", [(0, 0), (3, 4), (0, 1.4)], 5 + 4 + 1),  # 5, 3.97, 1.4
        ("CEIL_2D", [(0, 0), (3, 4), (0, 1.4)], 5 + 4 + 2),
        ("MAN_2D", [(0, 0), (3, 4), (0, 1.4)], 7 + 6 + 1),  # 7, 5.6, 1.4
        ("MAX_2D", [(0, 0), (3, 4), (0, 1.4)], 4 + 3 + 1),  # 4, 3, 1.4
        ("ATT", [(0, 0), (30, 40), (0, 10)], 16 + 14 + 4),  # 15.8, 13.4, 3.2 rounded up
        # Along the equator and a meridian by 90 degrees each, a quarter of the circumference of radius 6378.388.
        ("GEO", [(0, 0), (0, 90), (90, 0)], 3 * 10020),
        # Minutes are hundredths: 0.30 is half a degree, 55.66 km.
        ("GEO", [(0, 0), (0, 0.30), (0, 1.0)], 56 + 56 + 112),
    ],
)
def test_tsplib_distances(file, kind, points, length):
    rows = "\n".join(f" {number} {x} {y}" for number, (x, y) in enumerate(points, start=1))
    head = f"NAME : own\nCOMMENT : three\nDIMENSION : 3\nEDGE_WEIGHT_TYPE : {kind}\nNODE_COORD_SECTION\n"
    instance = read("tsp", file(f"{head}{rows}\nEOF\n"))
    assert instance.values(np.array([[0, 1, 2], [2, 0, 1]])).tolist() == [-length, -length]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("lop", "3\n1 2 3 4"),
        ("lop", ""),
        ("qap", "2\n1 2 3 4\n1 2 3"),
        ("qap", "2.5\n1"),
        ("tsp", "DIMENSION: 3\nEDGE_WEIGHT_TYPE: XRAY1\nNODE_COORD_SECTION\n1 0 0\n2 0 1\n3 1 1"),
        ("tsp", "DIMENSION: 3\nEDGE_WEIGHT_TYPE: EXPLICIT\nEDGE_WEIGHT_FORMAT: UPPER_ROW\nEDGE_WEIGHT_SECTION\n1 2"),
        ("pfsp", "nothing here"),
    ],
)
def test_a_file_in_another_format_is_a_mistake(file, kind, text):
    with pytest.raises(Mistake, match="not a file of"):
        read(kind, file(text))


def test_no_file_and_no_format(tmp_path):
    with pytest.raises(Mistake, match="cannot be read"):
        read("lop", str(tmp_path / "none"))
    with pytest.raises(Mistake, match="no instance files"):
        read("transfer", "any")


def test_transfer_is_its_formula():
    instance = transfer(4, seed=5)
    utility, pairs, neighbours = instance.values.args
    for length in range(5):
        for items in itertools.permutations(range(4), length):
            wanted = sum(utility[one] * RECENCY ** (length - 1 - place) for place, one in enumerate(items))
            wanted += sum(pairs[a][b] for a, b in itertools.combinations(items, 2))
            wanted += sum(neighbours[a][b] for a, b in itertools.pairwise(items))
            found = instance.values(np.array([items], dtype=int).reshape(1, length))
            assert found.tolist() == pytest.approx([wanted])
    # Precedence is antisymmetric, redundancy symmetric and never a gain.
    assert (np.triu(pairs + pairs.T, 1) <= 0).all()
    assert np.triu(pairs - pairs.T, 1).any()
