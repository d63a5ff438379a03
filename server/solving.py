"""Places where attacks are computed: the adversary's thread, or others."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from fedsim.attacks import Attack, Observation, Progress, Reconstruction
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


class Solver(Protocol):
    """Begins attacks."""

    def __call__(
        self,
        attack: Attack,
        model: nn.Module,
        observations: Sequence[Observation],
        *,
        seed: int,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> Callable[[], Solved]:
        """Begin an attack, and return a function that waits for its end.

        That function calls the callbacks, and raises what the attack raised. The arguments are
        those of `Attack.run`.
        """


def here(
    attack: Attack,
    model: nn.Module,
    observations: Sequence[Observation],
    *,
    seed: int,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Callable[[], Solved]:
    """Return a function that does all of it, in the thread that calls it."""

    def attacked() -> Solved:
        began = time.monotonic()
        found = attack.run(
            model, observations, seed=seed, on_progress=on_progress, should_stop=should_stop
        )
        return Solved(found, time.monotonic() - began)

    return attacked


def begin(
    solver: Solver,
    victims: Sequence[Victim],
    model: nn.Module,
    seed: int,
    on_progress: OnAttackProgress,
    should_stop: Callable[[], bool],
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
    begun: Callable[[], Solved]
    try:
        begun = solver(
            victims[0].attack,
            model,
            [v.observation for v in victims if v.observation is not None],
            seed=seed,
            on_progress=told,
            should_stop=lambda: bool(raised) or should_stop(),
        )
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
