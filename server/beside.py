"""Work beside the rounds: one piece at a time, in order, in a thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Beside:
    """Does one piece of work at a time, while its caller goes on.

    As a context manager, it waits for the last piece at the end.

    Args:
        at_once: whether to do each piece before going on, in the caller's thread.
    """

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._last: Future[None] | None = None

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            self._wait()

    def do(self, work: Callable[[], None]) -> None:
        """Do a piece of work after the one before it.

        Raises:
            Exception: what the piece before it raised.
        """
        if self._at_once:
            work()
            return
        self._wait()
        self._last = self._thread.submit(work)

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()
