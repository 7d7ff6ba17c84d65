"""What a reader sees first: which order is recommended, its figures, and what they must not be quoted without."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from search.analysis.finding import Finding
from search.analysis.intervals import Estimate, number, over_roots
from search.analysis.overall import overall
from search.report.cells import called
from search.report.names import Names
from search.report.parts import Head, Key
from search.results import Results
from trainables.methods import FEW_SHOT
from trainables.tasks import SHAM

ONE_CHECKPOINT = (
    "The roots of this study vary data order, new weights and dropout, not the pretrained model: all conclusions hold "
    "for the one checkpoint that was searched, {model}."
)


class Choice(NamedTuple):
    """The recommended candidate, why it is, and its row of the leaderboard (None: it has none)."""

    candidate: str
    why: str
    row: pd.Series | None
    named: pd.Series | None
    """Its row of the finals' table, where the finals named it."""


def recommended(results: Results, board: pd.DataFrame) -> Choice | None:
    """The finals' candidate, where they named one; else the zero-shot candidate of the best selection score.

    That is chosen on English dev (or the search half of the test items), never on the scores that it is then given.
    Controls are no candidates. None where no candidate has all roots.
    """
    named = results.finals[results.finals.named.astype(bool)] if "named" in results.finals else results.finals
    if len(named):
        name = str(named.iloc[0].candidate)
        return Choice(name, "named by the finals, at fresh roots", _row(board, name), named.iloc[0])
    seen, about = overall(results.compared, results.seen), results.about()
    zero_shot = [
        name for name in seen.index
        if about.method[name] not in FEW_SHOT and SHAM not in str(about.order[name]) and seen.loc[name].notna().all()
    ]  # fmt: skip
    if not zero_shot:
        return None
    name = str(seen.loc[zero_shot].mean(axis="columns").idxmax())
    what = "English dev" if results.seen == "dev" else "the search half of the test items"
    why = f"the best of {len(zero_shot)} on {what}, on which candidates are chosen"
    return Choice(name, why, _row(board, name), None)


def head(
    results: Results, board: pd.DataFrame, choice: Choice | None, findings: tuple[Finding, ...], names: Names
) -> Head:
    """Title, stamps, the recommendation and the primary result."""
    manifest = results.manifest
    primary = next((one for one in findings if one.primary), None)
    model = str(manifest["model"]["name"])
    return Head(
        title=str(manifest["title"]),
        stamps=tuple(_stamps(results)),
        date=str(manifest.get("started", ""))[:10],
        recommended="" if choice is None else choice.candidate,
        why="No candidate has all of its roots, so none is recommended." if choice is None else choice.why,
        keys=tuple(_keys(results, board, choice, names)),
        primary=capital(primary.sentence.removeprefix("Primary: ")) if primary else "",
        caveats=tuple(_caveats(findings, primary, model)),
    )


def against_none(results: Results, choice: Choice | None) -> str:
    """What is to be said of a recommended order that is shown to be worse than none; empty of others."""
    gain = None if choice is None else gain_over_none(results, choice.candidate)
    if gain is None or gain.mean is None or not gain.excludes_zero or gain.mean > 0:
        return ""
    where = "English dev" if results.seen == "dev" else "the search half"
    return f"On test it is shown to be worse than no intermediate task: what {where} prefers does not transfer here."


def _caveats(findings: tuple[Finding, ...], primary: Finding | None, model: str) -> list[str]:
    """What any conclusion is limited to, and what is to be known of the primary one."""
    limits = next((one.notes for one in findings if one.name == "estimand" and one.notes), ())
    notes = primary.notes if primary else ()
    return [*(limits or (ONE_CHECKPOINT.format(model=model),)), *(f"Of the primary result: {note}." for note in notes)]


def capital(text: str) -> str:
    """With its first letter large."""
    return text[:1].upper() + text[1:]


def _stamps(results: Results) -> list[str]:
    manifest, found = results.manifest, []
    if manifest["limited"] is not None:
        found.append(f"LIMITED: at most {manifest['limited']} examples a language and split; not to be compared")
    if results.settings.objective == "target-dev":
        found.append("Oracle selection: target-language labels were seen when candidates were chosen")
    if manifest["status"] != "done":
        found.append(f"The run is {manifest['status']}: it is not complete")
    if manifest.get("failed"):
        found.append(f"{len(manifest['failed'])} runs of candidates failed")
    if results.differences:
        found.append(f"Mixed: {'; '.join(results.differences)}")
    return found


def _keys(results: Results, board: pd.DataFrame, choice: Choice | None, names: Names) -> list[Key]:
    if choice is None or choice.row is None:
        return []
    row, found = choice.row, []
    found.append(_score(results, choice))
    if "rank" in row and not pd.isna(row["rank"]):
        low, high = row.get("rank_low"), row.get("rank_high")
        known = not (pd.isna(low) or pd.isna(high))
        beside = f"{int(low)} to {int(high)}, 95 % for all together" if known else "no interval"
        found.append(Key("rank on test", f"{int(row['rank'])} of {int(board['rank'].notna().sum())}", beside))
    gain = gain_over_none(results, choice.candidate)
    if gain is not None and gain.mean is not None:
        beside = f"points; {_interval(gain)}" if gain.half_width is not None else f"points; {gain.reason}"
        found.append(Key("gain over none", f"{gain.mean:+.1f}", beside))
    if not pd.isna(row.get("robust_score")):
        half = row.get("robust_half_width")
        found.append(Key("robust score", f"{row['robust_score']:.1f}", "" if pd.isna(half) else f"± {half:.1f}"))
    if not pd.isna(row.get("worst_language_score")):
        worst = str(row["worst_language"])
        found.append(Key("worst language", f"{row['worst_language_score']:.1f}", called(worst)))
    return found


def _score(results: Results, choice: Choice) -> Key:
    roots = "root" if results.seeds == 1 else "roots"
    if choice.named is not None:
        value, half, n = choice.named["score"], choice.named["score_half_width"], int(choice.named["roots"])
        beside = f"{n} fresh roots" if pd.isna(half) else f"± {half:.1f}, 95 %, {n} fresh roots"
    else:
        row = choice.row
        value, half = (None, None) if row is None else (row["score"], row["score_half_width"])
        beside = (
            f"{results.seeds} {roots}, no interval" if pd.isna(half) else f"± {half:.1f}, 95 %, {results.seeds} roots"
        )
    return Key("zero-shot score", "–" if pd.isna(value) else f"{value:.1f}", beside)


def gain_over_none(results: Results, candidate: str) -> Estimate | None:
    """A candidate's score less that of the empty order with the same method, paired by root; None where it is it."""
    values, about = results.overall(), results.about()
    if candidate not in values.index:
        return None
    same = about[(about.order == "none") & (about.method == about.method[candidate])].index
    if not len(same) or same[0] == candidate:
        return None
    return over_roots((values.loc[candidate] - values.loc[same[0]]).tolist())


def alike(row: pd.Series | None) -> str:
    """How many candidates are not shown to differ from that of a row of the leaderboard, in a sentence; empty where
    nothing is known of that. What is shown to be better and to be worse bounds the ranks (`analysis.pairwise`)."""
    if row is None or pd.isna(row.get("rank_low")):
        return ""
    others = int(row["rank_high"]) - int(row["rank_low"])
    return f"{number(others, 'other')} {'is' if others == 1 else 'are'} not shown to differ from it." if others else ""


def _row(board: pd.DataFrame, name: str) -> pd.Series | None:
    found = board[board.candidate == name] if "candidate" in board else board[:0]
    return found.iloc[0] if len(found) else None


def _interval(found: Estimate) -> str:
    mean, half = found.mean or 0.0, found.half_width or 0.0
    return f"{mean - half:+.1f} to {mean + half:+.1f}, 95 %"
