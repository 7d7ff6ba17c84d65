"""Writes a running study's candidates into `study.journal`; what happens before there is a folder is kept till then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.candidate import Candidate
from search.scores import CLEAN, Row, target_scores
from search.settings import Settings
from search.space import Space

if TYPE_CHECKING:
    from search.journal import Journal


class Recorder:
    """A listener of the campaign's events `proposed` and `told`."""

    def __init__(self, settings: Settings, space: Space) -> None:
        self._settings, self._space = settings, space
        self._journal: Journal | None = None
        self._kept: list[tuple[str, Mapping[str, Any]]] = []

    def open(self, path: Path) -> None:
        """Begin the journal at this path with all that was heard so far."""
        from search.journal import Journal

        self._journal = Journal(path, self._space, name=self._settings.space, objectives=self._objectives)
        for event, about in self._kept:
            self._write(self._journal, event, about)
        self._kept.clear()

    def hear(self, event: str, about: Mapping[str, Any]) -> None:
        """Take note of an event; others than those two are passed over."""
        if event not in ("proposed", "told"):
            return
        if self._journal is None:
            self._kept.append((event, about))
        else:
            self._write(self._journal, event, about)

    def close(self) -> None:
        """Mark what still runs as failed."""
        if self._journal is not None:
            self._journal.close()

    @property
    def _objectives(self) -> dict[str, Any]:
        return dict.fromkeys(self._settings.goals, "maximize")

    def _write(self, journal: Journal, event: str, about: Mapping[str, Any]) -> None:
        candidate: Candidate = about["candidate"]
        if event == "proposed":
            journal.begin(candidate)
        else:
            attributes = attributes_of(about["rows"], self._settings.objective)
            journal.end(candidate, about["values"], pruned=about["pruned"], attributes=attributes)


def attributes_of(rows: Sequence[Row], objective: str) -> dict[str, Any]:
    """Of a candidate's rows its roots, and in percent the scores of targets and of languages: those that the search is
    told are named so, the zero-shot ones are of items that it has not seen."""
    seen, unseen = ("dev", "test") if objective == "en-dev" else ("search", "report")
    own = [r for r in rows if r.portion == unseen and r.main and not r.apart and r.perturbation == CLEAN]
    languages: dict[str, list[float]] = {}
    for row in own:
        languages.setdefault(row.language, []).append(100 * row.value)
    return {
        "roots": len({row.seed for row in rows}),
        f"{objective} by target": _percent(target_scores(rows, seen)),
        "zero-shot by target": _percent(target_scores(rows, unseen)),
        "zero-shot by language": {code: round(sum(v) / len(v), 2) for code, v in sorted(languages.items())},
    }


def _percent(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: round(100 * share, 2) for name, share in shares.items()}
