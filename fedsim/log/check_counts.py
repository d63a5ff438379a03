"""Counts of what each check of clients examined and suspected, read from the logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import takewhile

from fedsim.log.schema import UploadRecord


@dataclass(frozen=True)
class CheckCount:
    """Models that clients examined with one check, each client and round for itself.

    Attributes:
        examined: number of changed models, or of requests that served an attack.
        noticed: number of those that the check suspected.
        refused: number of those that the client refused for it.
        checked: number of honest models.
        alarms: number of honest models that the check suspected.
        leaks: number of honest models in which the check found a leak, and accused nobody.
    """

    examined: int = 0
    noticed: int = 0
    refused: int = 0
    checked: int = 0
    alarms: int = 0
    leaks: int = 0

    def __add__(self, other: CheckCount) -> CheckCount:
        return CheckCount(
            self.examined + other.examined,
            self.noticed + other.noticed,
            self.refused + other.refused,
            self.checked + other.checked,
            self.alarms + other.alarms,
            self.leaks + other.leaks,
        )


def check_counts(
    uploads: Iterable[UploadRecord], changed: Set[tuple[int, int]]
) -> dict[str, CheckCount]:
    """Return the counts of each check of a run's clients, by its name.

    Args:
        uploads: records of the uploads, and of the refusals.
        changed: round and client of all that received a changed model or served an attack.
    """
    found: dict[str, CheckCount] = {}
    for upload in uploads:
        for name in _examining(upload):
            flagged, leak = int(name in upload.noticed), int(name in upload.own_leaks)
            count = (
                CheckCount(1, flagged, flagged * upload.refused)
                if (upload.round, upload.partition) in changed
                else CheckCount(checked=1, alarms=flagged - leak, leaks=leak)
            )
            found[name] = found.get(name, CheckCount()) + count
    return found


def added(counts: Iterable[Mapping[str, CheckCount]]) -> dict[str, CheckCount]:
    """Return the sum of several counts, check by check."""
    total: dict[str, CheckCount] = {}
    for count in counts:
        for name, value in count.items():
            total[name] = total.get(name, CheckCount()) + value
    return total


def _examining(upload: UploadRecord) -> list[str]:
    """Return the checks of a client that examined the model; a refusal ends the others.

    Of the checks before a refusal, those that would have refused too suspected nothing. The reply
    does not say what those that only warn found.
    """
    if upload.refused:
        refuser = upload.noticed[:1]
        before = takewhile(lambda d: d.name not in refuser, upload.defenses)
        silent = (d.name for d in before if d.parameters.get("action") == "refuse")
        return [*dict.fromkeys(silent), *refuser]
    if upload.problem:
        return []
    return list(upload.checks)
