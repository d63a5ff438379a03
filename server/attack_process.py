"""A process that computes attacks for the one that started it (`fedsim.server.processes`).

It reads from its standard input and answers on its standard output, in frames of a length and a
pickle. Only the process that started it is at their other ends. It ends with that process, and when
it was given nothing to do for `IDLE_S`.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import cloudpickle
import torch

from fedsim.attacks import Progress
from fedsim.core.plugins import Plugin
from fedsim.server.solving import Job, shown

IDLE_S = 60.0
TELL_S = 0.2
"""Interval in which progress is told."""
_LENGTH = 8

READY, STOP, DONE, RAISED, TOLD, UNREADABLE = (
    "ready", "stop", "done", "raised", "told", "unreadable"
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Work:
    """An attack, the threads that it may use, and the files that its parts come from."""

    job: bytes
    threads: int
    plugins: Sequence[Plugin]


def write_frame(file: IO[bytes], content: object) -> None:
    """Write one frame.

    Raises:
        OSError: nobody is at the other end any more.
    """
    whole = cloudpickle.dumps(content)
    file.write(len(whole).to_bytes(_LENGTH, "little") + whole)
    file.flush()


def read_frame(file: IO[bytes]) -> Any:
    """Return the content of the next frame.

    Raises:
        EOFError: there is none, and there will be none.
    """
    length = file.read(_LENGTH)
    whole = file.read(int.from_bytes(length, "little")) if len(length) == _LENGTH else b""
    if not whole:
        raise EOFError
    return pickle.loads(whole)  # noqa: S301  (of our own process)


def main() -> None:
    """Compute attacks until nobody asks for any."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # So that what an attack prints is not taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    asked: queue.Queue[Work] = queue.Queue()
    stopped = threading.Event()

    def listen() -> None:
        while True:
            try:
                frame = read_frame(sys.stdin.buffer)
            except EOFError:  # the process that started this one has ended
                os._exit(0)
            if frame == STOP:
                stopped.set()
            else:
                stopped.clear()
                asked.put(frame)

    threading.Thread(target=listen, name="listen", daemon=True).start()
    write_frame(answers, (READY, None))
    while True:
        try:
            work = asked.get(timeout=IDLE_S)
        except queue.Empty:
            os._exit(0)
        answer = _answer(work, answers, stopped)
        try:
            write_frame(answers, answer)
        except OSError:
            os._exit(0)


def _answer(work: Work, answers: IO[bytes], stopped: threading.Event) -> tuple[str, object]:
    """Return the result of a job, or the reason why there is none."""
    try:
        for plugin in work.plugins:
            plugin.load()
        job: Job = pickle.loads(work.job)  # noqa: S301  (of our own process)
    except Exception as error:  # such as a class of a script that cannot be imported
        return UNREADABLE, f"{type(error).__name__}: {error}"
    told = [time.monotonic()]

    def on_progress(progress: Progress) -> None:
        if time.monotonic() > told[0] + TELL_S:
            told[0] = time.monotonic()
            write_frame(answers, (TOLD, shown(progress)))

    torch.set_num_threads(work.threads)
    try:
        return DONE, job.run(on_progress, stopped.is_set)
    except Exception as error:
        return RAISED, _picklable(error)


def _picklable(error: Exception) -> Exception:
    """Return an exception, or one with its text if it cannot be sent."""
    try:
        pickle.loads(cloudpickle.dumps(error))  # noqa: S301  (of our own process)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
