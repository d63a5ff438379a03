import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PARTS = (("train", 12), ("t10k", 6))


def _write_idx(path: Path, array: np.ndarray, *, packed: bool = False) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


@pytest.fixture
def write_idx() -> Callable[..., None]:
    """Write one IDX file."""
    return _write_idx


@pytest.fixture
def idx_folder() -> Callable[..., dict[str, np.ndarray]]:
    """Write a tiny data set in MNIST's four files, and return what was written."""

    def write(folder: Path, *, packed: bool) -> dict[str, np.ndarray]:
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        written = {}
        for part, count in PARTS:
            images = rng.integers(0, 256, (count, 5, 7))
            labels = np.arange(count) % 10
            _write_idx(folder / f"{part}-images-idx3-ubyte", images, packed=packed)
            _write_idx(folder / f"{part}-labels-idx1-ubyte", labels, packed=packed)
            written |= {f"{part}_images": images, f"{part}_labels": labels}
        return written

    return write


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Write a picture of one colour."""

    def write(path: Path, colour: object = "red", size: tuple[int, int] = (8, 8)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path)
        return path

    return write
