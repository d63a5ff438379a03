"""Answer to Ctrl-C: a word at once, because the end of a run takes its time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def answering(answer: Callable[[], None]) -> Iterator[None]:
    """Call a function at the first Ctrl-C, before KeyboardInterrupt is raised.

    Where another handler than Python's own is set, and outside the main thread, nothing changes.

    Args:
        answer: called in the signal handler: it must wait for no lock of the main thread.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        answer()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
