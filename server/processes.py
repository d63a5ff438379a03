"""Processes of this machine that compute attacks, and what else takes its time.

A process serves one caller after another, and ends a minute after the last. Python's own pools of
processes import the user's script again, which runs it again where it is not guarded against that;
and they pass no progress on while they work.
"""

from __future__ import annotations

import atexit
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from fedsim.attacks.types import OnProgress, ShouldStop, ignore_progress, never_stop
from fedsim.core.errors import AttackError
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
from fedsim.server.solving import Solved, progress_of

POLL_S = 0.2
"""Interval in which an attack is asked whether it should stop."""
PATIENCE_S = 60.0
"""Seconds in which an attack that is told to stop has to end."""

JOIN_S = 10.0
"""Seconds in which a thread has to see that its process has ended."""


class NoProcess(Exception):  # noqa: N818  (a state, and always handled)
    """No process can be started here, or it ended before it could compute anything."""


class Process:
    """A process that computes one attack at a time.

    Attributes:
        began: set as soon as it can compute, or has ended.

    Raises:
        NoProcess: none can be started.
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
            raise NoProcess(str(error)) from None
        assert self._process.stdin is not None  # noqa: S101  (as they were asked for)
        assert self._process.stdout is not None  # noqa: S101
        self._questions, self._said = self._process.stdin, self._process.stdout
        self._answers: queue.Queue[tuple[str, Any] | None] = queue.Queue()
        self._busy, self._able, self.began = False, False, threading.Event()
        self._listener = threading.Thread(target=self._listen, name="attack's answers", daemon=True)
        self._listener.start()

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
        """End the process, and the thread that listens to it.

        That thread holds tensors. PyTorch frees them without Python's lock, and a thread that wants
        it back while Python ends is ended itself, in a destructor of C++: the program aborts.
        """
        self._process.kill()
        self._process.wait()
        self._listener.join(timeout=JOIN_S)
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
                raise NoProcess(f"exit code {code}")
            raise AttackError(f"its process ended (exit code {code}); is there enough memory?")
        return [answer]

    def _send(self, content: object) -> None:
        with suppress(OSError):  # if it has ended, its answers have, too
            write_frame(self._questions, content)


_resting: list[Process] = []
_lock = threading.Lock()


@contextmanager
def borrowed() -> Iterator[Process]:
    """Context with a process that has nothing to do."""
    with _lock:
        _bury()
        process = _resting.pop(0) if _resting else Process()
    try:
        yield process
    finally:
        with _lock:
            if process.is_ready():
                _resting.append(process)
            else:
                process.close()


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
        with borrowed() as process:
            return process.solved(work, ignore_progress, never_stop)
    except NoProcess:
        return function(*arguments)


def prepare(processes: int, *, wait: bool = False) -> None:
    """Start processes for attacks that will soon begin, unless there are as many.

    Args:
        processes: how many.
        wait: whether to wait until they can begin, which takes seconds: what they import.
    """
    with suppress(NoProcess), _lock:
        _bury()
        _resting.extend(Process() for _ in range(processes - len(_resting)))
    for process in list(_resting) if wait else ():
        process.began.wait()


def _bury() -> None:
    """Forget the processes that have ended while nothing was asked of them."""
    for process in [p for p in _resting if not p.is_ready()]:
        _resting.remove(process)
        process.close()


@atexit.register
def _end() -> None:
    for process in _resting:
        process.close()
