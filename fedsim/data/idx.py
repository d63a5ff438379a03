"""Reader of IDX files, the format of MNIST and similar data sets."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from fedsim.core.errors import DataError

_UINT8 = 0x08
_MAX_BYTES = 1 << 30


def read_idx(path: Path, ndim: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Source: the format as described at http://yann.lecun.com/exdb/mnist/.

    Args:
        path: the file; a file that ends in ``.gz`` is unpacked while it is read.
        ndim: the number of dimensions that it must have (3 for images, 1 for labels).

    Returns:
        An array with the shape in the file's header.

    Raises:
        DataError: the file cannot be read, or does not have the expected format.
    """
    try:
        with _open(path) as file:
            return _parse(file, ndim)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise DataError(
            f"cannot read {path} as an IDX file of {ndim} dimensions: {error}. "
            "Expected an undamaged file in MNIST's format: fetch it again."
        ) from error


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def _parse(file: BinaryIO, ndim: int) -> npt.NDArray[np.uint8]:
    zero, kind, dimensions = struct.unpack(">HBB", file.read(4))
    if (zero, kind, dimensions) != (0, _UINT8, ndim):
        raise ValueError(f"it starts with {(zero, kind, dimensions)}, not {(0, _UINT8, ndim)}")
    shape = struct.unpack(f">{ndim}I", file.read(4 * ndim))
    size = math.prod(shape)
    if size > _MAX_BYTES:
        raise ValueError(f"its header claims the shape {shape}, more than {_MAX_BYTES} bytes")
    body = file.read(size + 1)
    if len(body) != size:
        raise ValueError(f"its header claims {size} bytes of data, but another number follows")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
