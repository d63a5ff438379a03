"""Sentences on what leaked, shared by reports, the terminal and the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedsim.log.schema import CONTROL, Doubt, Meaning
from fedsim.log.summary import Row, Summary


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Return a number with a noun."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def duration(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 90:
        return f"{max(1, round(seconds)) if seconds else 0} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def headline(counts: Mapping[Meaning, int], nouns: tuple[str, str]) -> str:
    """Return the number of leaked and partly leaked examples as a sentence.

    Args:
        counts: number of private examples with each meaning; at least one.
        nouns: noun for one example, singular and plural.
    """
    unknown = counts.get(Meaning.NOT_COMPARED, 0)
    if not unknown:
        return _scored(counts, nouns)
    unscored = (
        f"{counted(unknown, f'private {nouns[0]}', f'private {nouns[1]}')} attacked and unscored: "
        "the run does not know the private data."
    )
    others: dict[Meaning, int] = {
        m: n for m, n in counts.items() if m is not Meaning.NOT_COMPARED and n
    }
    return f"{_scored(others, nouns)} {unscored}" if others else unscored


def _scored(counts: Mapping[Meaning, int], nouns: tuple[str, str]) -> str:
    """Return the headline of the examples that the run knows."""
    total = sum(counts.values()) - counts.get(Meaning.NOTHING, 0)
    if not total:
        return "The private data hold nothing to leak: nothing readable is in the upload."
    of = f"of {counted(total, f'private {nouns[0]}', f'private {nouns[1]}')}"
    leaked, partly = counts.get(Meaning.LEAKED, 0), counts.get(Meaning.PARTLY, 0)
    if leaked:
        more = f", and {partly} more partly leaked" if partly else ""
        return f"{leaked} {of} leaked{more}."
    if partly:
        return f"{partly} {of} partly leaked."
    failed, unscored = counts.get(Meaning.ATTACK_FAILED, 0), counts.get(Meaning.UNSCORED, 0)
    if failed:
        return f"None {of} leaked, but the attack failed on {_those(failed, total)} of them."
    if unscored:
        return f"None {of} leaked, but {_those(unscored, total)} of them gave no reconstruction."
    return f"None {of} leaked."


def run_headline(summary: Summary) -> str | None:
    """Return the headline of a run, or None if nothing private was attacked."""
    if not summary.worst:
        return None
    return headline(summary.worst, (summary.measure.thing, summary.measure.things))


def nothing_attacked(summary: Summary) -> str:
    """Return the headline of a run in which nothing private was attacked, or not yet."""
    return "Nothing was attacked." if summary.status == "finished" else "No attack has ended yet."


def control_said(summary: Summary) -> str | None:
    """Return a sentence on a control that did not leak completely, or None if it did."""
    control = summary.control
    if control is None or not summary.control_failed:
        return None
    leaked, partly = control.count(Meaning.LEAKED), control.count(Meaning.PARTLY)
    examples = control.examples - control.count(Meaning.NOTHING)
    of = counted(examples, summary.measure.thing, summary.measure.things)
    if not leaked and not partly:
        return (
            f"{summary.control_name} was not reconstructed (0 of {of}): the attack failed here "
            "even without a defense, so nothing here is evidence that a defense works. Use more "
            "evaluations, or another attack."
        )
    found = " and ".join(
        f"{count} {how}" for count, how in ((leaked, "leaked"), (partly, "partly leaked")) if count
    )
    return (
        f"{summary.control_name} was reconstructed in part: of its {of}, {found}. What leaked "
        "above did leak. Where nothing leaked, a defense need not be the reason: the attack fails "
        "on some data even without one."
    )


def attack_failed_said(rows: Sequence[Row]) -> str:
    """Return the reasons for not calling the examples protected, with their numbers."""
    counts = {d: sum(r.doubts.get(d, 0) for r in rows if r.group != CONTROL) for d in Doubt}
    why = [f"{doubt.reason} ({count})" for doubt, count in counts.items() if count]
    said = "Where the attack failed, a better attack may find the data. That is not protection"
    return f"{said}: {'; '.join(why)}." if why else f"{said}."


def notes_said(summary: Summary) -> list[str]:
    """Return the remarks on a run, each with the round and the client that it is about."""
    lines = []
    for server_round, client, text in summary.notes:
        about = [] if server_round is None else [f"round {server_round}"]
        about += [] if client is None else [f"client {client}"]
        said = f"{', '.join(about)}: {text}" if about else text
        lines.append(said[:1].upper() + said[1:])
    return lines


def _those(count: int, total: int) -> str:
    return "all" if count == total else str(count)
