"""Locks of folders and files that one process at a time writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fedsim.core.errors import RunError

LOCK = ".lock"


def hold(file: IO[Any], what: str) -> None:
    """Lock an open file until it is closed; the system gives up the lock if the process dies.

    On systems and file systems without locks (Windows), nothing is locked.

    Args:
        file: the file.
        what: what another process that holds the lock is doing, with the folder.

    Raises:
        RunError: another process holds the lock.
    """
    try:
        import fcntl  # noqa: PLC0415  (POSIX only)
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(
            f"{what} in this folder; wait for it, or give --out another folder"
        ) from None
    except OSError:  # a file system without locks
        return


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a comparison's folder.

    Args:
        folder: the folder, which exists.

    Raises:
        RunError: another process holds the lock, or the folder cannot be written.
    """
    try:
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise RunError(f"{folder}: the folder cannot be written: {error.strerror}") from None
    with file:
        hold(file, f"{folder}: another process is running a comparison")
        yield
