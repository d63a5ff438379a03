"""Attacks as jobs, and where they are computed: in the adversary's thread, or elsewhere."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from fedsim.attacks import Attack, Observation, Progress, Reconstruction
from fedsim.attacks.types import OnProgress, ShouldStop
from fedsim.server.victims import OnAttackProgress, Victim


@dataclass(frozen=True, eq=False)
class Solved:
    """Result of an attack on several observations.

    Attributes:
        found: one reconstruction for each observation, in order.
        seconds: time of the attack.
    """

    found: Sequence[Reconstruction]
    seconds: float


@dataclass(frozen=True, eq=False)
class Job:
    """An attack on several observations, with the arguments of `Attack.run`."""

    attack: Attack
    model: nn.Module
    observations: Sequence[Observation]
    seed: int

    def run(self, on_progress: OnProgress, should_stop: ShouldStop) -> Solved:
        """Return the result of the attack, in the thread that calls this."""
        began = time.monotonic()
        found = self.attack.run(
            self.model,
            self.observations,
            seed=self.seed,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        return Solved(found, time.monotonic() - began)


class Solver(Protocol):
    """Begins attacks."""

    def __call__(
        self, job: Job, on_progress: OnProgress, should_stop: ShouldStop
    ) -> Callable[[], Solved]:
        """Begin an attack, and return a function that waits for its end.

        That function calls the callbacks, and raises what the attack raised.
        """


def here(job: Job, on_progress: OnProgress, should_stop: ShouldStop) -> Callable[[], Solved]:
    """Return a function that does all of it, in the thread that calls it."""
    return functools.partial(job.run, on_progress, should_stop)


Shown = tuple[Tensor, int, int, Tensor, Tensor]


def shown(progress: Progress) -> Shown:
    """Return the contents of a progress, to be sent to another process."""
    at, most = progress.evaluation, progress.max_evaluations
    return progress.victims.cpu(), at, most, progress.objective.cpu(), progress.data().cpu()


def progress_of(
    victims: Tensor, evaluation: int, most: int, objective: Tensor, data: Tensor
) -> Progress:
    """Return the progress with the contents that `shown` returned."""
    return Progress(victims, evaluation, most, objective, lambda: data)


def begin(
    solver: Solver,
    victims: Sequence[Victim],
    model: nn.Module,
    seed: int,
    on_progress: OnAttackProgress,
    should_stop: ShouldStop,
) -> Callable[[], tuple[Sequence[Reconstruction], float]]:
    """Begin an attack on victims; return a function that waits for it.

    That function returns what was found for each victim, and the time of each in seconds. A failed
    attack is a failed reconstruction; what a callback raises is raised.
    """
    raised: list[Exception] = []

    def told(progress: Progress) -> None:
        try:
            on_progress(victims, progress)
        except Exception as error:  # stored, or it would be taken for a failure of the attack
            raised.append(error)

    if not victims:
        return lambda: ((), 0.0)
    seen = [v.observation for v in victims if v.observation is not None]
    job = Job(victims[0].attack, model, seen, seed)
    begun: Callable[[], Solved]
    try:
        begun = solver(job, told, lambda: bool(raised) or should_stop())
    except Exception as error:  # a cluster that is gone, say
        begun = functools.partial(_raise, error)

    def wait() -> tuple[Sequence[Reconstruction], float]:
        began = time.monotonic()
        try:
            solved = begun()
        except Exception as error:
            failed = Reconstruction.failed(f"{type(error).__name__}: {error}")
            solved = Solved([failed] * len(victims), time.monotonic() - began)
        if raised:
            raise raised[0]
        return solved.found, solved.seconds / len(victims)

    return wait


def _raise(error: Exception) -> Solved:
    raise error
