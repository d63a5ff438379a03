"""Draw the images that come with fedsim from the whole of Fashion-MNIST.

Run as ``python -m fedsim.data.embedded._make FOLDER``, where FOLDER holds the four IDX files,
gzipped or not.
"""

import argparse
import base64
import hashlib
import json
import lzma
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedsim.data.mini import FILE
from fedsim.data.mnist import FashionMnist
from fedsim.data.types import Split

HERE = Path(__file__).parent
SALT = b"fashion-mnist-mini"
PER_CLASS = {"train": 200, "test": 50}

Bytes = npt.NDArray[np.uint8]


def draw(folder: Path) -> dict[str, Bytes]:
    """Draw the images and labels of both parts.

    Images are ranked by a salted hash of their pixels, so that neither their position in the
    files nor the version of a random generator matters.

    Args:
        folder: where the four IDX files are.

    Returns:
        ``train_images`` ``(2000, 28, 28)``, ``train_labels`` ``(2000,)``, and the same
        for ``test`` with 500.

    Raises:
        DataError: the files are not there or not readable.
    """
    whole = FashionMnist().load(folder)
    arrays = {}
    for part, split in (("train", whole.train), ("test", whole.test)):
        rows = _lowest(split, PER_CLASS[part])
        arrays[f"{part}_images"] = split.images[rows, 0].numpy()
        arrays[f"{part}_labels"] = split.labels[rows].to(split.images.dtype).numpy()
    return arrays


def pack(arrays: dict[str, Bytes]) -> str:
    """Return the file's text: JSON, because Flower's app bundles omit binary files."""
    packed = {
        name: {
            "shape": array.shape,
            "xz_base85": base64.b85encode(
                lzma.compress(array.tobytes(), preset=9 | lzma.PRESET_EXTREME)
            ).decode(),
        }
        for name, array in arrays.items()
    }
    licence = (HERE / "LICENSE-fashion-mnist").read_text("utf-8")
    return json.dumps({"license": licence, "arrays": packed}, indent=1) + "\n"


def _lowest(split: Split, per_class: int) -> list[int]:
    ranks = [hashlib.blake2b(image.tobytes(), key=SALT).digest() for image in split.images.numpy()]
    kept = dict.fromkeys(split.labels.tolist(), 0)
    rows = []
    for row in sorted(range(len(split)), key=ranks.__getitem__):
        label = int(split.labels[row])
        if kept[label] < per_class:
            kept[label] += 1
            rows.append(row)
    return rows


def main() -> None:
    """Write the file into the folder of this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder with the four IDX files")
    (HERE / FILE).write_text(pack(draw(parser.parse_args().folder)), "utf-8")


if __name__ == "__main__":
    main()
