"""Lock of a folder that one process at a time writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedsim.core.errors import RunError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system gives it up if the process dies.

    On systems without file locks (Windows), nothing is locked.

    Args:
        folder: the folder, which exists.

    Raises:
        RunError: another process holds the lock, or the folder cannot be written.
    """
    try:
        import fcntl  # noqa: PLC0415  (POSIX only)
    except ImportError:
        yield
        return
    try:
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise RunError(f"{folder}: the folder cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{folder}: another process is running a comparison in this folder; wait for it, "
                "or give --out another folder"
            ) from None
        except OSError:  # a file system without locks
            yield
            return
        yield
