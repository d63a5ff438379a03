"""Files drawn from the log of a run: pictures, animations, coloured texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.core.modality import MODALITIES
from fedsim.log.run import Arrays, Run
from fedsim.log.schema import (
    CONTROL,
    NAIVE,
    EmergenceRecord,
    ExampleScore,
    LeakageRecord,
    Moment,
    ReconstructionRecord,
)
from fedsim.log.writer import SAFE_NAME

FOLDER = "pictures"
"""Folder of the drawn files in a run folder."""


@dataclass(frozen=True)
class Ended:
    """One finished attack, read from the log.

    Attributes:
        found: the record of the reconstruction.
        scores: scores of the examples of the batch.
        moments: snapshots of the examples that have them, by index in the batch.
        arrays: the tensors of the victim.
    """

    found: ReconstructionRecord
    scores: Sequence[ExampleScore]
    moments: Mapping[int, Sequence[Moment]]
    arrays: Arrays

    @property
    def label(self) -> str:
        """Label: the client group, plus the attacker unless it is naive."""
        if self.found.group is None:
            return CONTROL
        naive = self.found.attacker == NAIVE
        return self.found.group if naive else f"{self.found.group} ({self.found.attacker})"

    def name(self, example: int) -> str:
        """Return the name of a file about one example, without an ending."""
        alone = len(self.scores) == 1
        return self.found.victim if alone else f"{self.found.victim}-{example}"


@dataclass(frozen=True)
class Artefact:
    """One file to draw.

    Attributes:
        name: its name in the folder of drawn files.
        draw: writes the file to a path atomically.
    """

    name: str
    draw: Callable[[Path], object]


class Artefacts:
    """Files of one modality; this base class has none."""

    def of_victim(self, ended: Ended) -> Iterable[Artefact]:
        """Yield the files about one victim."""
        return ()

    def of_round(self, server_round: int, ended: Sequence[Ended]) -> Iterable[Artefact]:
        """Yield the files about all victims of a round.

        Args:
            server_round: number of the round.
            ended: the attacks by client, the naive one first and the positive control last.
        """
        return ()


def draw(run: Run, *, anew: bool = False) -> None:
    """Draw the files of a run.

    Args:
        run: the log of the run, or of some rounds.
        anew: whether to redraw existing files.

    Raises:
        RunError: a record names a path outside the run folder.
        OSError: a file cannot be written.
    """
    artefacts: Artefacts = MODALITIES.get(run.start.modality).part("artefacts")()
    folder = run.folder / FOLDER
    folder.mkdir(exist_ok=True)
    for server_round, ended in _by_round(run):
        wanted = [artefact for each in ended for artefact in artefacts.of_victim(each)]
        for artefact in (*wanted, *artefacts.of_round(server_round, ended)):
            if not SAFE_NAME.fullmatch(artefact.name):
                raise RunError(f"{run.folder}: {artefact.name!r} is not a valid file name")
            path = folder / artefact.name
            if anew or not path.is_file():
                artefact.draw(path)


def _by_round(run: Run) -> Iterator[tuple[int, list[Ended]]]:
    rounds: dict[int, list[ReconstructionRecord]] = {}
    for found in run.of_kind(ReconstructionRecord):
        rounds.setdefault(found.round, []).append(found)
    scores: dict[str, list[ExampleScore]] = {}
    for leakage in run.of_kind(LeakageRecord):
        scores.setdefault(leakage.victim, []).append(leakage.score)
    moments: dict[str, dict[int, Sequence[Moment]]] = {}
    for emergence in run.of_kind(EmergenceRecord):
        moments.setdefault(emergence.victim, {})[emergence.example] = emergence.moments
    for server_round, records in rounds.items():
        yield (
            server_round,
            [
                Ended(found, scores[found.victim], moments.get(found.victim, {}), arrays)
                for found in sorted(records, key=_place)
                if found.victim in scores and (arrays := run.arrays(found.tensors)) is not None
            ],
        )


def _place(found: ReconstructionRecord) -> tuple[bool, int, bool]:
    client = -1 if found.partition is None else found.partition
    return found.is_control, client, found.attacker != NAIVE
