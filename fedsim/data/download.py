"""Errors of failed downloads."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedsim.core.errors import DataError


@contextmanager
def explained(name: str, root: Path) -> Iterator[None]:
    """Convert a failure inside the block into a ``DataError`` with a remedy.

    Args:
        name: the data set's registered name.
        root: the folder that is being downloaded to, or read from.

    Raises:
        DataError: replaces the exception of torchvision, the network or the disk.
    """
    try:
        yield
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(
            f"cannot get the data set {name!r} in {root}: {error}.\n"
            "  what to do: check the network and the free disk space and try again, or fetch it "
            "elsewhere and set data_dir, or use 'fashion-mnist-mini', which comes with fedsim."
        ) from error
