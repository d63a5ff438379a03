"""Rehearsal of a run: two rounds, and the beginning of a round's attacks, to estimate its time."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedsim.attacks import Progress
from fedsim.engine.observer import Observer
from fedsim.engine.run import run
from fedsim.log.schema import LogRecord, ReconstructionRecord, RoundRecord, RunStarted
from fedsim.scenario import Scenario
from fedsim.server.victims import Victim

EVALUATIONS = 12
"""Evaluations of each attack that are tried."""

LIMIT_S = 15.0
"""Time limit of the tried attacks of a round, in seconds."""


@dataclass(frozen=True)
class Rehearsal:
    """Measured times of the beginning of a run.

    Attributes:
        rounds: number of rounds of the whole run.
        attacked: its attacked rounds.
        victims: number of attacks in each, with the positive control.
        parameters: number of trained parameters.
        begin_s: time before the first round: data and model.
        round_s: time of a round of training.
        attack_s: time of the attacks on a round, if no search ends early.
        longer: whether attacks that cannot be told from their beginning may take longer.
    """

    rounds: int
    attacked: tuple[int, ...]
    victims: int
    parameters: int
    begin_s: float
    round_s: float
    attack_s: float
    longer: bool

    @property
    def seconds(self) -> float:
        """Time of the whole run in seconds, if no search ends early, beside the training."""
        training = self.rounds * self.round_s
        attacks = len(self.attacked) * self.attack_s
        before = (min(self.attacked) if self.attacked else 0) * self.round_s
        return self.begin_s + max(training, before + attacks)


def rehearse(scenario: Scenario) -> Rehearsal:
    """Run two rounds without an adversary, and the first evaluations of one round's attacks.

    Nothing is left on the disk. Later rounds are taken to last as long as the first one, and a
    search as long as all its evaluations, although it may end earlier.

    Args:
        scenario: the run to estimate.

    Raises:
        FedsimError: the run could not start.
    """
    federation, plan = scenario.federation, scenario.adversary
    training = _tried(scenario.model_copy(update={"adversary": None}), rounds=2)
    attacked = [r for r in range(1, federation.rounds + 1) if plan is not None and plan.attacks(r)]
    attacks = _Clock()
    full = 0
    if plan is not None and attacked:
        full = getattr(plan.attack, "evaluations", 0)
        short = replace(plan.attack, evaluations=min(full, EVALUATIONS)) if full else plan.attack
        tried = plan.model_copy(
            update={
                "attack": short,
                "rounds": [1],
                "rounds_together": False,
                "time_limit_s": min(plan.time_limit_s, LIMIT_S),
            }
        )
        attacks = _tried(scenario.model_copy(update={"adversary": tried}), rounds=1)
    limit = math.inf if plan is None else plan.time_limit_s
    return Rehearsal(
        federation.rounds,
        tuple(attacked),
        attacks.victims,
        training.parameters,
        training.begin_s,
        training.round_s,
        min(attacks.attack_s(full), limit),
        (attacks.cut and (not full or attacks.unseen))
        or (plan is not None and plan.rounds_together),
    )


def _tried(scenario: Scenario, rounds: int) -> _Clock:
    clock = _Clock()
    short = scenario.federation.model_copy(update={"rounds": rounds})
    with tempfile.TemporaryDirectory(prefix="fedsim-dry-run-") as folder:
        run(scenario.model_copy(update={"federation": short}), Path(folder) / "run", observer=clock)
    return clock


@dataclass
class _Search:
    """Evaluations of the attacks on one group of victims, and their times."""

    first: int
    began: float
    last: int
    ended: float

    @property
    def pace(self) -> float:
        """Seconds of an evaluation."""
        return (self.ended - self.began) / max(1, self.last - self.first)


@dataclass
class _Clock(Observer):
    """Takes the times of a rehearsed run."""

    victims: int = 0
    parameters: int = 0
    cut: bool = False
    _began: float = field(default_factory=time.monotonic)
    _rounds: list[float] = field(default_factory=list)
    _attack: list[float] = field(default_factory=list)
    _searches: dict[tuple[tuple[str, bool], ...], _Search] = field(default_factory=dict)

    def on_record(self, record: LogRecord) -> None:
        """Take the time of a round."""
        if isinstance(record, RoundRecord):
            self._rounds.append(time.monotonic())
        elif isinstance(record, RunStarted):
            self.parameters = record.model.parameters
        elif isinstance(record, ReconstructionRecord):
            self.cut = self.cut or record.status == "stopped"

    def on_victims(self, victims: Sequence[Victim]) -> None:
        """Take the time at which attacks begin, the last ones once their priors are learned."""
        self.victims = len(victims) + (0 if self.begins_round(victims) else self.victims)
        self._attack = [time.monotonic()]

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        """Take the time of an evaluation."""
        now, done = time.monotonic(), progress.evaluation
        group = tuple((v.name, v.film) for v in victims)
        search = self._searches.setdefault(group, _Search(done, now, done, now))
        if done >= search.last:
            search.last, search.ended = done, now

    def on_round_attacked(self, server_round: int) -> None:
        """Take the time at which attacks end."""
        self._attack.append(time.monotonic())

    @property
    def begin_s(self) -> float:
        """Time before the second round, without a round."""
        return max(0.0, self._rounds[0] - self._began - self.round_s) if self._rounds else 0.0

    @property
    def round_s(self) -> float:
        """Time of the last round, which has nothing to prepare."""
        if len(self._rounds) < 2:
            return 0.0
        return self._rounds[-1] - self._rounds[-2]

    @property
    def unseen(self) -> bool:
        """Whether an attack was cut off before its search began, so that its time is unknown."""
        seen = {name for group in self._searches for name, _ in group}
        return len(seen) < self.victims

    def attack_s(self, evaluations: int) -> float:
        """Return the time of a round's attacks.

        Args:
            evaluations: of each search; 0 if there are none.
        """
        if len(self._attack) < 2:
            return 0.0
        measured = self._attack[-1] - self._attack[0]
        left = sum(s.pace * max(0, evaluations - s.last) for s in self._searches.values())
        return measured + left
