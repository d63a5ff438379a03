"""An unfinished run as its folder has it, and those of its records with which it goes on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeGuard

from fedsim.core.errors import RunError
from fedsim.log.folders import SCENARIO
from fedsim.log.reader import holds_tensors, read_inside, readable
from fedsim.log.schema import (
    FORMAT,
    AttackedRecord,
    EmergenceRecord,
    LeakageRecord,
    LogRecord,
    ManipulationRecord,
    NoteRecord,
    ReconstructionRecord,
    RoundRecord,
    RunEnded,
    RunStarted,
    SumRecord,
    UploadRecord,
)

OfRound = UploadRecord | SumRecord | ManipulationRecord | RoundRecord | NoteRecord
OfVictim = ReconstructionRecord | LeakageRecord | EmergenceRecord


@dataclass(frozen=True)
class Unfinished:
    """The readable records of an unfinished run, up to the first line that is not.

    Attributes:
        folder: the run folder.
        lines: the lines, without their ends.
        records: their records, in the same order.
        scenario_text: the resolved scenario as TOML.
    """

    folder: Path
    lines: tuple[bytes, ...]
    records: tuple[LogRecord, ...]
    scenario_text: str

    @classmethod
    def read(cls, folder: Path) -> Unfinished:
        """Read the folder of a run that did not finish, which is not trusted.

        Raises:
            RunError: it is not a run folder, the run is finished, or it ended before it began.
        """
        lines, records = readable(folder)
        if not records or not isinstance(records[0], RunStarted):
            raise RunError(
                f"{folder}: this run ended before it began, and nothing of it can be kept; "
                "run its scenario again, in a new folder"
            )
        if f'"format": {FORMAT}'.encode() not in lines[0]:
            raise RunError(f"{folder}: another version of fedsim began this run; run it again")
        if any(isinstance(r, RunEnded) and r.status == "finished" for r in records):
            raise RunError(f"{folder}: this run is finished; there is nothing left to do")
        try:
            text = read_inside(folder, SCENARIO).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{folder / SCENARIO}: cannot be read as text: {error}") from None
        return cls(folder, tuple(lines), tuple(records), text)

    @property
    def started(self) -> RunStarted:
        """The first record."""
        first = self.records[0]
        assert isinstance(first, RunStarted)  # noqa: S101  (checked when it was read)
        return first

    @property
    def logged(self) -> int:
        """Size of the readable lines, in bytes."""
        return sum(len(line) + 1 for line in self.lines)

    @cached_property
    def attacked(self) -> frozenset[int]:
        """Rounds whose attacks are all recorded, with their tensors."""
        ended = {r.round for r in self.records if isinstance(r, AttackedRecord)}
        lost = {r.round for r in self._reconstructions if r.victim in self._damaged}
        return frozenset(ended - lost)

    @cached_property
    def _reconstructions(self) -> list[ReconstructionRecord]:
        return [r for r in self.records if isinstance(r, ReconstructionRecord)]

    @cached_property
    def _damaged(self) -> frozenset[str]:
        """Victims without their tensors, which a power cut can take although they are recorded."""
        lost = (r for r in self._reconstructions if not holds_tensors(self.folder, r.tensors))
        return frozenset(r.victim for r in lost)

    @cached_property
    def victims(self) -> frozenset[str]:
        """Names of the victims whose attacks ended by themselves, and are recorded in full.

        In a round whose attacks are not all recorded, the last victim may lack some records.
        """
        found = self._reconstructions
        last = found[-1].victim if found else None
        ended = {
            r.victim for r in found if r.round in self.attacked or (r.victim != last and not r.cut)
        }
        return frozenset(ended - self._damaged)

    @property
    def stands_alone(self) -> bool:
        """Whether rounds can go on without those before them.

        Remarks on a round name uploads of earlier rounds that were far out, and a round whose
        tensors are lost is attacked again.
        """
        remarked = any(isinstance(r, NoteRecord) and r.partition is not None for r in self.records)
        return not remarked and not self._damaged

    def kept(self, after: int) -> tuple[list[bytes], list[LogRecord]]:
        """Return the lines and records with which the run goes on.

        Args:
            after: the last round whose training is not repeated; 0 to begin with the first.
        """
        chosen = [i for i, r in enumerate(self.records) if self._is_kept(r, after, self.victims)]
        return [self.lines[i] for i in chosen], [self.records[i] for i in chosen]

    def _is_kept(self, record: LogRecord, after: int, victims: Collection[str]) -> bool:
        if isinstance(record, RunEnded):
            return False
        if _is_of_victim(record):
            return record.victim in victims
        if isinstance(record, AttackedRecord):
            return record.round <= after  # of the others, training and attacks come again
        if isinstance(record, OfRound):
            return after > 0 and (record.round is None or record.round <= after)
        return True


def _is_of_victim(record: LogRecord) -> TypeGuard[OfVictim]:
    return isinstance(record, OfVictim)
