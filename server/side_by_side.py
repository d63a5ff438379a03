"""Several attacks at once on a CPU, each in a process of its own.

Threads would take turns: between any two of the small operations of a search Python hands its lock
over, which cost three threads of attacks and training a third of two cores. Python's own pools of
processes import the user's script again, which runs it again where it is not guarded against that;
and they pass no progress on while they work.
"""

from __future__ import annotations

import atexit
import copy
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from fedsim.attacks.types import OnProgress, ShouldStop, ignore_progress, never_stop
from fedsim.core.errors import AttackError
from fedsim.core.plugins import loaded_plugins
from fedsim.server import attack_process
from fedsim.server.attack_process import (
    DONE,
    RAISED,
    READY,
    STOP,
    TOLD,
    Work,
    read_frame,
    write_frame,
)
from fedsim.server.solving import Job, Solved, progress_of

POLL_S = 0.2
"""Interval in which an attack is asked whether it should stop."""
PATIENCE_S = 60.0
"""Seconds in which an attack that is told to stop has to end."""


class SideBySide:
    """Solver that computes several attacks at once, in processes of this machine.

    The results are those of `fedsim.server.solving.here` on as many threads. Callbacks are called
    in threads of this process. Attacks that cannot be sent to another process, as those of a
    notebook's own classes sometimes, are computed in threads of this one. A process serves later
    attacks, too, and ends a minute after the last.

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
            with _borrowed() as process:
                found = process.solved(work, on_progress, should_stop)
        except _NoProcess:
            found = None
        return found or self._in_this_process(job, on_progress, should_stop)

    def _in_this_process(
        self, job: Job, on_progress: OnProgress, should_stop: ShouldStop
    ) -> Solved:
        # Copies: `torch.func.functional_call` exchanges the tensors of a module while it runs.
        attack, model = copy.deepcopy((job.attack, job.model))
        use_threads(self._threads)
        return replace(job, attack=attack, model=model).run(on_progress, should_stop)


@dataclass(frozen=True, eq=False)
class _Call:
    """A call of a function, as a job of a process."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def run(self, *_: object) -> Any:
        return self.function(*self.arguments)


def call(threads: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a function, computed in another process if one can be started.

    Args:
        threads: number of threads of the process.
        function: a function that can be imported; without side effects.
        arguments: its arguments.
    """
    work = Work(cloudpickle.dumps(_Call(function, arguments)), threads, ())
    try:
        with _borrowed() as process:
            return process.solved(work, ignore_progress, never_stop)
    except _NoProcess:
        return function(*arguments)


def prepare(processes: int, *, wait: bool = False) -> None:
    """Start processes for attacks that will soon begin, unless there are as many.

    Args:
        processes: how many.
        wait: whether to wait until they can begin, which takes seconds: what they import.
    """
    with suppress(_NoProcess), _lock:
        _bury()
        _resting.extend(_Process() for _ in range(processes - len(_resting)))
    for process in list(_resting) if wait else ():
        process.began.wait()


def use_threads(threads: int) -> None:
    """Compute in this thread, and in no other one, on a number of threads."""
    # A thread inherits another's number of threads when it first computes or reads its number;
    # after that its own number stays, even if others change theirs.
    torch.get_num_threads()
    torch.set_num_threads(threads)


class _NoProcess(Exception):  # noqa: N818  (a state, and handled here)
    """No process can be started here, or it ended before it could compute anything."""


class _Process:
    """A process that computes one attack at a time.

    Attributes:
        began: set as soon as it can compute, or has ended.

    Raises:
        _NoProcess: none can be started.
    """

    def __init__(self) -> None:
        path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        module = attack_process.__name__
        # The modules of this process, and no others that lie in the current folder; no warnings
        # across a live view.
        flags = ["-P", "-W", "ignore"]
        try:
            self._process = subprocess.Popen(  # noqa: S603  (of constants)
                [sys.executable, *flags, "-c", f"from {module} import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for this process, which tells the other to stop
            )
        except (OSError, TypeError) as error:  # an embedded Python does not name its program
            raise _NoProcess(str(error)) from None
        assert self._process.stdin is not None  # noqa: S101  (as they were asked for)
        assert self._process.stdout is not None  # noqa: S101
        self._questions, self._said = self._process.stdin, self._process.stdout
        self._answers: queue.Queue[tuple[str, Any] | None] = queue.Queue()
        self._busy, self._able, self.began = False, False, threading.Event()
        threading.Thread(target=self._listen, name="attack's answers", daemon=True).start()

    def _listen(self) -> None:
        try:
            with self._said, suppress(EOFError, OSError):
                while True:
                    answer = read_frame(self._said)
                    if answer[0] == READY:
                        self._able = True
                        self.began.set()
                    else:
                        self._answers.put(answer)
        finally:  # whatever it sent: those who wait for it go on
            self._answers.put(None)
            self.began.set()

    def is_ready(self) -> bool:
        """Return whether it is alive and has nothing to do."""
        return not self._busy and self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):  # what could not be sent any more
            self._questions.close()

    def solved(self, work: Work, on_progress: OnProgress, should_stop: ShouldStop) -> Solved | None:
        """Return the result of an attack, or None if the process cannot read the attack.

        Raises:
            AttackError: the process ended, or the attack did not stop when told to.
            Exception: what the attack raised.
        """
        self._busy, latest = True, math.inf
        self._send(work)
        while True:
            for kind, content in self._heard():
                if kind == TOLD:
                    on_progress(progress_of(*content))
                    continue
                self._busy = False
                if kind == RAISED:
                    raise content
                return content if kind == DONE else None
            if latest == math.inf and should_stop():
                self._send(STOP)
                latest = time.monotonic() + PATIENCE_S
            if time.monotonic() > latest:
                raise AttackError(f"it did not stop within {PATIENCE_S:g} s of being told to")

    def _heard(self) -> list[tuple[str, Any]]:
        """Return the next answer, or nothing if there is none for a while."""
        try:
            answer = self._answers.get(timeout=POLL_S)
        except queue.Empty:
            return []
        if answer is None:
            code = self._process.wait()
            if not self._able or code == 0:  # it had rested long enough just then
                raise _NoProcess(f"exit code {code}")
            raise AttackError(f"its process ended (exit code {code}); is there enough memory?")
        return [answer]

    def _send(self, content: object) -> None:
        with suppress(OSError):  # if it has ended, its answers have, too
            write_frame(self._questions, content)


_resting: list[_Process] = []
_lock = threading.Lock()


@contextmanager
def _borrowed() -> Iterator[_Process]:
    """Context with a process that has nothing to do."""
    with _lock:
        _bury()
        process = _resting.pop(0) if _resting else _Process()
    try:
        yield process
    finally:
        with _lock:
            if process.is_ready():
                _resting.append(process)
            else:
                process.close()


def _bury() -> None:
    """Forget the processes that have ended while nothing was asked of them."""
    for process in [p for p in _resting if not p.is_ready()]:
        _resting.remove(process)
        process.close()


@atexit.register
def _end() -> None:
    for process in _resting:
        process.close()
