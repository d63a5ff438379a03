"""Places where attacks are computed: the adversary's thread, or others."""

from __future__ import annotations

import copy
import functools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import nn

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


class SideBySide:
    """Solver that computes several attacks at once, in threads of this process.

    Each has copies of its attack and model: `torch.func.functional_call` exchanges the tensors of a
    module while it runs. The results are those of `here`. Callbacks are called in the threads.

    Args:
        most: maximum number of attacks at once.
        threads: number of threads of each.
    """

    def __init__(self, most: int, threads: int = 1) -> None:
        self._free, self._threads = threading.Semaphore(most), threads

    def __call__(
        self, job: Job, on_progress: OnProgress, should_stop: ShouldStop
    ) -> Callable[[], Solved]:
        """Begin an attack once fewer than the maximum are running."""
        attack, model = copy.deepcopy((job.attack, job.model))
        own, future = replace(job, attack=attack, model=model), Future[Solved]()

        def work() -> None:
            use_threads(self._threads)
            with self._free:
                try:
                    future.set_result(own.run(on_progress, should_stop))
                except BaseException as error:  # raised to the thread that waits
                    future.set_exception(error)

        # A daemon: an attack that does not end never keeps the process from ending.
        threading.Thread(target=work, name="attack", daemon=True).start()
        return future.result


def use_threads(threads: int) -> None:
    """Compute in this thread, and in no other one, on a number of threads."""
    # A thread inherits another's number of threads when it first computes or reads its number;
    # after that its own number stays, even if others change theirs.
    torch.get_num_threads()
    torch.set_num_threads(threads)


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
