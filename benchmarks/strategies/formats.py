"""Published instance files: LOLIB, TSPLIB, QAPLIB, and Taillard's flow shops. No such file comes with the project.

Every reader raises a `Mistake` for a file that is not in its format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.strategies.instances import (
    Floats,
    Instance,
    flow_shop,
    linear_ordering,
    quadratic_assignment,
    travelling_salesman,
)
from trainables.errors import Mistake, nearest

_PI, _EARTH = 3.141592, 6378.388  # TSPLIB's own, to these digits: its published optima depend on them


def read(kind: str, file: str) -> Instance:
    """The instance in a file; `FILE#3` is the third of a flow shop file that holds several."""
    if kind not in READERS:
        raise Mistake(f"'{kind}' has no instance files.", where="--instance", right=nearest(kind, READERS))
    path, _, number = file.rpartition("#") if re.search(r"#\d+$", file) else (file, "", "1")
    if kind != "pfsp" and number != "1":
        raise Mistake("only flow shop files hold several instances.", where=file, right=path)
    try:
        text = Path(path).read_text("utf-8", errors="replace")
    except OSError as error:
        raise Mistake(f"the file cannot be read: {error.strerror}", where=path, right="a file that is there") from error
    try:
        return _taillard(text, int(number)) if kind == "pfsp" else READERS[kind](text)
    except (ValueError, IndexError, KeyError) as error:
        raise Mistake(
            f"not a file of {_LIBRARIES[kind]}: {error}", where=path, right="an instance as published"
        ) from error


def lolib(text: str) -> Instance:
    """LOLIB: perhaps a line of title, then n and the matrix row by row."""
    lines = text.strip().splitlines()
    if lines and not re.fullmatch(r"\s*\d+\s*", lines[0]) and _is_title(lines):
        lines = lines[1:]
    numbers = _numbers(" ".join(lines))
    size = _whole(numbers[0])
    return linear_ordering(_matrix(numbers[1:], size, size))


def qaplib(text: str) -> Instance:
    """QAPLIB: n, then two matrices; the published optima are of this sum, not negated."""
    numbers = _numbers(text)
    size = _whole(numbers[0])
    both = _matrix(numbers[1:], 2 * size, size)
    return quadratic_assignment(both[:size], both[size:])


def tsplib(text: str) -> Instance:
    """TSPLIB 95, symmetric: points in the plane or on the globe, or explicit weights."""
    head, sections = _sections(text)
    size, kind = int(head["DIMENSION"]), head["EDGE_WEIGHT_TYPE"]
    if kind == "EXPLICIT":
        return travelling_salesman(_weights(sections["EDGE_WEIGHT_SECTION"], size, head["EDGE_WEIGHT_FORMAT"]))
    if kind not in _DISTANCES:
        raise ValueError(f"EDGE_WEIGHT_TYPE {kind} is not among EXPLICIT, {', '.join(_DISTANCES)}")
    points = _matrix(sections["NODE_COORD_SECTION"], size, 3)[:, 1:]
    distances = [[0.0 if a is b else float(_DISTANCES[kind](a, b)) for b in points] for a in points]
    return travelling_salesman(np.array(distances))


def _taillard(text: str, number: int = 1) -> Instance:
    """Taillard's flow shops: a header row (jobs, machines, seed, upper and lower bound), then machines × jobs.

    The upper bound is the best makespan that was known when the file was written; a header may end before it.
    """
    rows = [row.split() for row in text.splitlines() if re.fullmatch(r"[\s\d]*\d[\s\d]*", row)]
    for _ in range(number - 1):
        rows = rows[1 + int(rows[0][1]) :] if rows else rows
    if not rows:
        raise ValueError(f"there is no instance number {number}")
    jobs, machines, *more = map(int, rows[0])
    times = _matrix([float(one) for row in rows[1 : 1 + machines] for one in row], machines, jobs)
    return flow_shop(times, -float(more[1]) if len(more) > 1 else None)


READERS: dict[str, Callable[[str], Instance]] = {"lop": lolib, "tsp": tsplib, "qap": qaplib, "pfsp": _taillard}
_LIBRARIES = {"lop": "LOLIB", "tsp": "TSPLIB", "qap": "QAPLIB", "pfsp": "Taillard's flow shops"}


def _numbers(text: str) -> list[float]:
    return [float(one) for one in text.split()]


def _whole(number: float) -> int:
    if number < 1 or number != int(number):
        raise ValueError(f"{number:g} cannot be the number of items")
    return int(number)


def _matrix(numbers: list[float], rows: int, columns: int) -> Floats:
    if len(numbers) != rows * columns:
        raise ValueError(f"{rows} × {columns} numbers were awaited, but there are {len(numbers)}")
    return np.array(numbers).reshape(rows, columns)


def _is_title(lines: list[str]) -> bool:
    """Whether the second line is the number of items; otherwise the matrix may follow n in its own line."""
    return len(lines) > 1 and re.fullmatch(r"\s*\d+\s*", lines[1]) is not None


def _sections(text: str) -> tuple[dict[str, str], dict[str, list[float]]]:
    """TSPLIB's `KEY : VALUE` lines, and the numbers that follow each line that is a key alone."""
    head: dict[str, str] = {}
    sections: dict[str, list[float]] = {}
    here: list[float] = []
    for line in text.splitlines():
        if line.strip() in ("", "EOF"):
            continue
        if not line.strip()[0].isalpha():
            here += _numbers(line)
        elif ":" in line:
            key, _, value = line.partition(":")
            head[key.strip()] = value.strip()
        else:
            here = sections.setdefault(line.strip(), [])
    return head, sections


def _weights(numbers: list[float], size: int, form: str) -> Floats:
    """The matrix of explicit weights; of a triangle its mirror image too."""
    if form == "FULL_MATRIX":
        return _matrix(numbers, size, size)
    triangles = {
        "UPPER_ROW": np.triu_indices(size, 1), "UPPER_DIAG_ROW": np.triu_indices(size),
        "LOWER_ROW": np.tril_indices(size, -1), "LOWER_DIAG_ROW": np.tril_indices(size),
    }  # fmt: skip
    # By columns, an upper triangle is what a lower one is by rows.
    by_column = {"UPPER_COL": "LOWER_ROW", "LOWER_COL": "UPPER_ROW", "UPPER_DIAG_COL": "LOWER_DIAG_ROW",
                 "LOWER_DIAG_COL": "UPPER_DIAG_ROW"}  # fmt: skip
    places = triangles[by_column.get(form, form)]
    if len(numbers) != len(places[0]):
        raise ValueError(f"{len(places[0])} weights were awaited, but there are {len(numbers)}")
    matrix = np.zeros((size, size))
    matrix[places] = numbers
    matrix.T[places] = numbers
    return matrix


def _nearest_whole(number: float) -> int:
    return int(number + 0.5)


def _geographical(a: Floats, b: Floats) -> int:
    """Whole kilometres on the globe; coordinates are degrees.minutes."""
    (north, east), (north_b, east_b) = (_radians(a), _radians(b))
    q1, q2, q3 = math.cos(east - east_b), math.cos(north - north_b), math.cos(north + north_b)
    return int(_EARTH * math.acos(0.5 * ((1 + q1) * q2 - (1 - q1) * q3)) + 1)


def _radians(point: Floats) -> list[float]:
    degrees = [int(one) for one in point]
    return [_PI * (d + 5 * (one - d) / 3) / 180 for d, one in zip(degrees, point, strict=True)]


_DISTANCES: dict[str, Callable[[Floats, Floats], int]] = {
    "EUC_2D": lambda a, b: _nearest_whole(math.dist(a, b)),
    "CEIL_2D": lambda a, b: math.ceil(math.dist(a, b)),
    "MAN_2D": lambda a, b: _nearest_whole(abs(a - b).sum()),
    "MAX_2D": lambda a, b: max(map(_nearest_whole, abs(a - b))),
    "ATT": lambda a, b: math.ceil(math.sqrt(((a - b) ** 2).sum() / 10)),
    "GEO": _geographical,
}
