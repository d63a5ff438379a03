"""The same victim under every defense: which records are about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.comparison.plan import Comparison, Place
from fedsim.errors import RunError
from fedsim.runlog import Record, read_records


@dataclass(frozen=True)
class Look:
    """One run's first victim under one attacker.

    Attributes:
        place: where the run stands in the comparison.
        folder: of the run.
        leakage: the record of the score of the first example of its batch.
        tensors: where the run log has the rest of it.
    """

    place: Place
    folder: Path
    leakage: Record
    tensors: str

    @property
    def strength(self) -> str:
        """The strength without its name."""
        return self.place.strength.rpartition("=")[2]


def looks(
    comparison: Comparison, folders: Sequence[tuple[Place, Path]], stage: str, attacker: str
) -> Iterator[Look]:
    """Yield the first victim of each run of the first seed: the same client, the same data.

    Args:
        comparison: names the stages.
        folders: each cell with its run folder.
        stage: name of the stage.
        attacker: naive or adaptive; where the latter has no answer the naive one's is shown.
    """
    for place, folder in folders:
        if place.seed == comparison.seeds[0]:
            yield from _first(place, folder, comparison.stages[stage], attacker)


def _first(place: Place, folder: Path, server_round: int, attacker: str) -> Iterator[Look]:
    try:
        records = list(read_records(folder))
    except RunError:
        return
    leakage = [
        r
        for r in records
        if r["kind"] == "leakage" and r["round"] == server_round and r["group"] is not None
    ]
    if not leakage:
        return
    # A sum has no partition; its examples are in the order of the clients.
    first = min((r["partition"] for r in leakage), key=lambda p: -1 if p is None else p)
    own: Mapping[str, Record] = {
        r["attacker"]: r for r in reversed(leakage) if r["partition"] == first and r["image"] == 0
    }
    record = own.get(attacker, own["naive"])
    tensors = next(
        r["tensors"]
        for r in records
        if r["kind"] == "reconstruction" and r["victim"] == record["victim"]
    )
    yield Look(place, folder, record, tensors)
