"""Counts of what clients noticed of a malicious server, and of what it got, in a run's records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fedsim.core.measures import Measure
from fedsim.log.reader import of_kind
from fedsim.log.schema import LeakageRecord, LogRecord, ManipulationRecord, UploadRecord

if TYPE_CHECKING:
    from fedsim.log.summary import Summary


def false_alarms(summary: Summary) -> list[tuple[int, int]]:
    """Return round and client of the honest models for which a client's check accused the server.

    Leaks that a check finds in an honest model are true ones; see `true_leaks`.
    """
    accused = {(r, c) for r, c, name, _ in summary.noticed if (r, c, name) not in summary.leaks}
    return sorted(accused - _answering(summary.manipulations))


def true_leaks(summary: Summary) -> list[tuple[int, int]]:
    """Return round and client of the honest models in which a check found a leak."""
    return sorted({(r, c) for r, c, _ in summary.leaks} - _answering(summary.manipulations))


def checked(uploads: Sequence[UploadRecord], sent: Sequence[ManipulationRecord]) -> int:
    """Count the uploads and refusals of clients with checks that answer the honest model."""
    changed = _answering(sent)
    honest = [u for u in uploads if (u.round, u.partition) not in changed]
    return sum(bool(u.noticed) or any(k.endswith(".flagged") for k in u.did) for u in honest)


def taken(records: Sequence[LogRecord], measure: Measure) -> dict[int, tuple[int, int]]:
    """Count the recovered examples among those that answered a changed model, by round.

    A client that refused the round did not answer.
    """
    refused = {(u.round, u.partition) for u in of_kind(records, UploadRecord) if u.refused}
    found: dict[int, tuple[int, int]] = {}
    for sent in of_kind(records, ManipulationRecord):
        best: dict[tuple[int | None, int], float] = {}
        for record in of_kind(records, LeakageRecord):
            answers = record.partition is None or record.partition in sent.partitions
            answers = answers and (record.round, record.partition) not in refused
            if record.round == sent.round and answers and not record.is_control:
                key = (record.partition, record.score.example)
                figure = record.score.figure(measure)
                best[key] = max(best.get(key, -math.inf), -math.inf if figure is None else figure)
        found[sent.round] = (sum(s >= measure.recovered for s in best.values()), len(best))
    return found


def _answering(sent: Iterable[ManipulationRecord]) -> set[tuple[int, int]]:
    """Return round and client of all that received a changed model or served an attack."""
    return {(s.round, partition) for s in sent for partition in (*s.partitions, *s.others)}
