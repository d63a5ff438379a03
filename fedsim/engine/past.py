"""The past of an unfinished run, from which it goes on."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from flwr.app import ArrayRecord, RecordDict
from flwr.serverapp import Grid

from fedsim.core.errors import FedsimError, RunError
from fedsim.core.plugins import loaded_plugins
from fedsim.core.precision import best_device
from fedsim.engine.checkpoints import Checkpoint, Checkpoints, KeepsStates, keeps_states, latest
from fedsim.engine.recorder import versions
from fedsim.log.schema import LogRecord
from fedsim.log.unfinished import Unfinished
from fedsim.log.writer import RunLog
from fedsim.scenario import Scenario
from fedsim.server.continuing import Start

logger = logging.getLogger(__name__)

EngineName = Literal["inline", "ray"]


@dataclass(frozen=True, eq=False)
class Past:
    """An unfinished run, and where it goes on.

    Attributes:
        scenario: its scenario.
        engine: where its clients run.
        checkpoint: training up to which all is recorded; None to begin with the first round.
        records: the records with which it goes on.
        lines: the same as lines of the log.
        victims: names of the victims that are not attacked again.
        folder: the run folder.
        logged: size of the records that were read, in bytes.
    """

    scenario: Scenario
    engine: EngineName
    checkpoint: Checkpoint | None
    records: Sequence[LogRecord]
    lines: Sequence[bytes]
    victims: Collection[str]
    folder: Path
    logged: int

    @classmethod
    def read(cls, folder: Path) -> Past:
        """Read the folder of an unfinished run; nothing is written.

        Raises:
            FedsimError: one cannot go on with it.
        """
        found = Unfinished.read(folder)
        _same_plugins(found)
        _same_versions(found)
        engine = _engine(found.started.engine)
        if engine is None:
            raise RunError(
                f"{folder}: only simulated runs go on; this one was on the engine "
                f"{found.started.engine!r}"
            )
        scenario = Scenario.from_toml(found.scenario_text, str(folder))
        checkpoint = None
        if found.stands_alone:
            checkpoint = latest(folder, found.attacked, found.logged)
        lines, records = found.kept(0 if checkpoint is None else checkpoint.after)
        return cls(
            scenario, engine, checkpoint, records, lines, found.victims, folder, found.logged
        )

    def reopen(self) -> RunLog:
        """Return the log with the records that are kept, and no others.

        Raises:
            RunError: another process writes the folder, or it cannot be written.
        """
        log = RunLog(self.folder, self.lines, before=self._prepare)
        if self.checkpoint is not None:
            checkpoint = self.checkpoint
            log.checked(lambda: Checkpoints(self.folder).rewrite(checkpoint, log.size))
        return log

    def _prepare(self) -> None:
        """Drop what the log will not have; nobody else writes the folder now.

        Raises:
            RunError: somebody else did since it was read.
        """
        if Unfinished.read(self.folder).logged != self.logged:
            raise RunError(f"{self.folder}: another process went on with this run; try again")
        Checkpoints(self.folder).keep(self.checkpoint)


def goes_on(folder: Path, scenario: Scenario) -> bool:
    """Return whether a folder holds an unfinished run of a scenario with which one can go on."""
    try:
        return Past.read(folder).scenario == scenario
    except FedsimError:
        return False


class Checkpointing:
    """Saves checkpoints during a run, and says where an unfinished one goes on.

    Args:
        scenario: the scenario.
        log: the run's folder.
        past: the past of an unfinished run; None for a new run.
    """

    def __init__(self, scenario: Scenario, log: RunLog, past: Past | None) -> None:
        self._plan, self._log, self._past = scenario.adversary, log, past
        self._keeps_states = keeps_states(scenario)
        self._checkpoints = Checkpoints(log.folder)

    def start(self, grid: Grid) -> Start | None:
        """Return the start of the rounds, and restore the clients' states; None for a new run."""
        found = None if self._past is None else self._past.checkpoint
        if found is None:
            return None
        if isinstance(grid, KeepsStates):
            grid.restore(found.states)
        return Start(found.after, found.arrays)

    def save(self, grid: Grid, after: int, arrays: ArrayRecord) -> None:
        """Save a checkpoint after a round, if a run can go on from it.

        Without room for one, the run goes on with the older one.
        """
        if self._plan is not None and self._plan.rounds_together:
            return  # its attacker needs what was uploaded in all rounds
        states: Mapping[int, RecordDict] = {}
        if self._keeps_states:
            if not isinstance(grid, KeepsStates):
                return
            states = grid.client_states()
        try:
            self._checkpoints.save(after, arrays, states, lambda: self._log.size)
        except OSError as error:
            logger.warning("round %d: no checkpoint: %s", after, error)

    def attacking(self, server_round: int) -> None:
        """Take note of a round whose uploads the adversary gets."""
        if self._plan is not None and self._plan.attacks(server_round):
            self._checkpoints.attacking(server_round)

    def attacked(self, server_round: int) -> None:
        """Take note that the attacks of a round are in the log, or given up."""
        self._checkpoints.attacked(server_round)

    def clear(self) -> None:
        """Delete all checkpoints, when the run is finished."""
        self._checkpoints.clear()


def _engine(name: str) -> EngineName | None:
    return next((known for known in get_args(EngineName) if known == name), None)


def _same_plugins(found: Unfinished) -> None:
    """Check that the files are loaded that the run had.

    Raises:
        RunError: one is missing, or it has changed.
    """
    loaded = {p.name: p.sha256 for p in loaded_plugins()}
    for wanted in found.started.plugins:
        if loaded.get(wanted.name) != wanted.sha256:
            state = "has changed" if wanted.name in loaded else "is not loaded"
            raise RunError(
                f"{found.folder}: this run had the plugin {wanted.name!r}, which {state}; "
                "give it with --plugin, as it was"
            )


def _same_versions(found: Unfinished) -> None:
    """Check that versions and device are those that the run had, so that its parts fit.

    Raises:
        RunError: one differs.
    """
    here = versions() | {"device": str(best_device())}
    then = found.started.versions | {"device": found.started.device}
    for name in sorted(here.keys() | then.keys()):
        if here.get(name) != then.get(name):
            raise RunError(
                f"{found.folder}: this run began with {name} {then.get(name)}, and here is "
                f"{here.get(name)}: its results would not be those of one run; go on where it "
                "began, or run the scenario again"
            )
