"""The same victim under every defense: which records are about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.log.files import Record, read_records
from fedsim.scenario.comparison import Comparison, Place


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
    first: int | None = None
    for place, folder in folders:
        if place.seed != comparison.seeds[0]:
            continue
        run = _round_of(folder, comparison.stages[stage])
        clients = [r["partition"] for r in run if r["kind"] == "leakage" and r["group"]]
        if not clients:
            continue
        if first is None:
            first = min((c for c in clients if c is not None), default=None)
        image = 0 if clients[0] is not None else _place_in_sum(run, first)
        yield _look(place, folder, run, attacker, image)


def _round_of(folder: Path, server_round: int) -> list[Record]:
    try:
        return [r for r in read_records(folder) if r.get("round") == server_round]
    except RunError:
        return []


def _place_in_sum(run: Sequence[Record], client: int | None) -> int:
    """Return which of the examples behind a sum, in the order of the clients, is a client's first.

    Of no client, or one whose upload is not in the sum, the first of all.
    """
    total = next(r for r in run if r["kind"] == "sum")
    clients: list[int] = total["partitions"]
    each = int(total["examples"]) // len(clients)
    return clients.index(client) * each if client in clients else 0


def _look(place: Place, folder: Path, run: Sequence[Record], attacker: str, image: int) -> Look:
    leakage = [r for r in run if r["kind"] == "leakage" and r["group"]]
    client = min((r["partition"] for r in leakage if r["partition"] is not None), default=None)
    own: Mapping[str, Record] = {
        r["attacker"]: r
        for r in reversed(leakage)
        if r["partition"] == client and r["image"] == image
    }
    record = own.get(attacker, own["naive"])
    tensors = next(
        r["tensors"]
        for r in run
        if r["kind"] == "reconstruction" and r["victim"] == record["victim"]
    )
    return Look(place, folder, record, tensors)
