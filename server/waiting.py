"""Queue of the adversary's work, bounded in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")
POLL_S = 0.2
"""Interval in which a waiting thread notices that it should stop."""


class BoundedQueue(Generic[Job]):
    """First-in, first-out queue whose contents have a maximum size.

    An empty queue takes a job of any size.

    Args:
        most: maximum total size of the waiting jobs, in bytes.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._jobs: deque[tuple[Job, int]] = deque()
        self._size, self._ended, self._taken = 0, False, False
        self._changed = threading.Condition()

    def fits(self, size: int) -> bool:
        """Return whether a job of a size can be added now."""
        with self._changed:
            return not self._jobs or self._size + size <= self._most

    def put(self, job: Job, size: int, given_up: Callable[[], bool]) -> None:
        """Add a job; wait until it fits. After the end of the queue, the job is dropped.

        Args:
            job: the job.
            size: its size in bytes.
            given_up: returns whether nobody will take the jobs any more, so that waiting is in
                vain; the job is then dropped.
        """
        while not self.fits(size):
            if self._ended or given_up():
                return
            with self._changed:
                self._changed.wait(POLL_S)
        with self._changed:
            if self._ended:
                return
            self._jobs.append((job, size))
            self._size += size
            self._changed.notify_all()

    def get(self) -> Job | None:
        """Remove and return the oldest job; wait for one; None after the last one.

        The one that was taken before is then done.
        """
        with self._changed:
            self._taken = False
            self._changed.notify_all()
            while not self._jobs:
                if self._ended:
                    return None
                self._changed.wait(POLL_S)
            job, size = self._jobs.popleft()
            self._size, self._taken = self._size - size, True
            self._changed.notify_all()
            return job

    def wait_until_done(self, given_up: Callable[[], bool]) -> None:
        """Wait until the jobs so far are done.

        Args:
            given_up: returns whether nobody will take the jobs any more, so that waiting is in
                vain.
        """
        with self._changed:
            while (self._jobs or self._taken) and not given_up():
                self._changed.wait(POLL_S)

    def end(self) -> None:
        """Take no more jobs."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
