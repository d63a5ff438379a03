"""Several attacks at once on a CPU, each in a process of its own.

Threads would take turns: between any two of the small operations of a search Python hands its lock
over, which cost three threads of attacks and training a third of two cores.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

import cloudpickle
import torch

from fedsim.attacks.types import OnProgress, ShouldStop
from fedsim.core.plugins import loaded_plugins
from fedsim.server.attack_process import Work
from fedsim.server.processes import NoProcess, borrowed
from fedsim.server.solving import Job, Solved


class SideBySide:
    """Solver that computes several attacks at once, in processes of this machine.

    The results are those of `fedsim.server.solving.here` on as many threads. Callbacks are called
    in threads of this process. Attacks that cannot be sent to another process, as those of a
    notebook's own classes sometimes, are computed in threads of this one.

    Args:
        most: maximum number of attacks at once.
        threads: number of threads of each.
    """

    def __init__(self, most: int, threads: int = 1) -> None:
        self._free, self._threads = threading.Semaphore(most), threads

    def __call__(
        self, job: Job, on_progress: OnProgress, should_stop: ShouldStop
    ) -> Callable[[], Solved]:
        """Begin an attack once fewer than the maximum are running.

        The returned function raises what the attack raised, or `AttackError` if its process ended,
        or if it went on ``PATIENCE_S`` after it was told to stop.
        """
        future = Future[Solved]()

        def follow() -> None:
            with self._free:
                try:
                    future.set_result(self._solved(job, on_progress, should_stop))
                except BaseException as error:  # raised to the thread that waits
                    future.set_exception(error)

        # A daemon: an attack that does not end never keeps the process from ending.
        threading.Thread(target=follow, name="attack", daemon=True).start()
        return future.result

    def _solved(self, job: Job, on_progress: OnProgress, should_stop: ShouldStop) -> Solved:
        try:
            packed = cloudpickle.dumps(job)
        except Exception:  # of anything that an attack or a model can hold
            return self._in_this_process(job, on_progress, should_stop)
        work = Work(packed, self._threads, loaded_plugins())
        try:
            with borrowed() as process:
                found = process.solved(work, on_progress, should_stop)
        except NoProcess:
            found = None
        return found or self._in_this_process(job, on_progress, should_stop)

    def _in_this_process(
        self, job: Job, on_progress: OnProgress, should_stop: ShouldStop
    ) -> Solved:
        # Copies: `torch.func.functional_call` exchanges the tensors of a module while it runs.
        attack, model = copy.deepcopy((job.attack, job.model))
        use_threads(self._threads)
        return replace(job, attack=attack, model=model).run(on_progress, should_stop)


def use_threads(threads: int) -> None:
    """Compute in this thread, and in no other one, on a number of threads."""
    # A thread inherits another's number of threads when it first computes or reads its number;
    # after that its own number stays, even if others change theirs.
    torch.get_num_threads()
    torch.set_num_threads(threads)
