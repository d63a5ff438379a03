"""Signals that ask a process to end: `docker stop`, a time limit of Slurm, a closed terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a run as Ctrl-C does; Windows has no SIGHUP."""


@contextmanager
def ended_as_interrupts(*, always: bool = False) -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM and SIGHUP, as Python does for Ctrl-C.

    Ray sets a handler of SIGTERM when it starts, which raises SystemExit instead; that is
    converted. Outside the main thread, nothing else is changed.

    Args:
        always: whether handlers of others are replaced; by default only the system's are, so that
            ``nohup`` is respected.

    Raises:
        KeyboardInterrupt: the process was asked to end.
    """
    changed = {}
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            usual = signal.getsignal(number)
            if usual is signal.SIG_DFL or (always and usual is not signal.SIG_IGN):
                changed[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    except SystemExit as error:
        if error.code == signal.SIGTERM:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)
