"""Attacks as tasks on a Ray cluster: on its GPUs if it has any, otherwise on its CPUs."""

from __future__ import annotations

import copy
import importlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedsim.attacks import Progress
from fedsim.attacks.types import OnProgress, ShouldStop
from fedsim.core.errors import AttackError
from fedsim.core.plugins import Plugin, loaded_plugins
from fedsim.core.precision import best_device
from fedsim.server.solving import Job, Shown, Solved, progress_of, shown

POLL_S = 0.5
"""Interval in which progress is passed on, and attacks are told to stop."""
PATIENCE_S = 60.0
"""Seconds in which an attack that is told to stop has to end."""


@dataclass(frozen=True, eq=False)
class _Work:
    """An attack on another machine, and the files that its parts come from."""

    job: Job
    plugins: Sequence[Plugin]


class Link:
    """An actor between a running attack and those who wait for it."""

    def __init__(self) -> None:
        self._told: Shown | None = None
        self._stopped = False

    def tell(self, progress: Shown) -> None:
        """Store the last progress."""
        self._told = progress

    def taken(self) -> Shown | None:
        """Return the last progress, once."""
        told, self._told = self._told, None
        return told

    def stop(self) -> None:
        """Let the attack stop."""
        self._stopped = True

    def is_stopped(self) -> bool:
        """Return whether the attack should stop."""
        return self._stopped


def on_cluster(job: Job, on_progress: OnProgress, should_stop: ShouldStop) -> Callable[[], Solved]:
    """Begin an attack as a task of the cluster that this process is connected to.

    A task takes one GPU, if the cluster has any: several run at once on several. On a cluster
    without GPUs, it shares the CPUs with the clients. One that goes on ``PATIENCE_S`` after it was
    told to stop is ended, and has failed.
    """
    ray: Any = importlib.import_module("ray")  # takes seconds
    gpus = min(1.0, ray.cluster_resources().get("GPU", 0.0))
    work = _Work(replace(job, model=copy.deepcopy(job.model).cpu()), loaded_plugins())
    link = ray.remote(num_cpus=0)(Link).remote()
    task = ray.remote(num_cpus=0, num_gpus=gpus, max_retries=0)(attacked).remote(work, link)

    def wait() -> Solved:
        latest = math.inf
        while not ray.wait([task], timeout=POLL_S)[0]:
            told = ray.get(link.taken.remote())
            if told is not None:
                on_progress(progress_of(*told))
            if should_stop():
                ray.get(link.stop.remote())
                latest = min(latest, time.monotonic() + PATIENCE_S)
            if time.monotonic() > latest:
                ray.cancel(task, force=True)
                raise AttackError(f"it did not stop within {PATIENCE_S:g} s of being told to")
            if not ray.is_initialized():  # the next call would start another Ray
                raise AttackError("the connection to the Ray cluster has ended")
        found: Solved = ray.get(task)
        return found

    return wait


def attacked(work: _Work, link: Any) -> Solved:
    """Run an attack in a worker of the cluster."""
    ray: Any = importlib.import_module("ray")
    for plugin in work.plugins:
        plugin.load()
    told, stopped = [0.0], threading.Event()

    def on_progress(progress: Progress) -> None:
        if time.monotonic() > told[0] + POLL_S:
            told[0] = time.monotonic()
            link.tell.remote(shown(progress))

    def listen() -> None:
        while not stopped.wait(POLL_S):
            if ray.get(link.is_stopped.remote()):
                stopped.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        job = replace(work.job, model=work.job.model.to(best_device()))
        return job.run(on_progress, stopped.is_set)
    finally:
        stopped.set()
