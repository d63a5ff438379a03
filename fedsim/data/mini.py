"""The data set that comes with fedsim."""

import base64
import json
import lzma
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedsim.core.registry import DATASETS
from fedsim.data.mnist import FashionMnist
from fedsim.data.source import DatasetSource
from fedsim.data.types import Dataset, Split

FILE = "fashion-mnist-mini.json"


@DATASETS.register("fashion-mnist-mini")
class FashionMnistMini(DatasetSource):
    """Clothes: 2,000 + 500 images of Fashion-MNIST, 10 classes; comes with fedsim.

    Grey, 28 x 28, the same number of each class. Source: Xiao, Rasul, Vollgraf, arXiv 1708.07747;
    ``embedded/ORIGIN.md`` describes how the images were drawn.
    """

    def load(self, data_dir: Path | None) -> Dataset:
        """Unpack the images; ``data_dir`` is not used."""
        text = resources.files("fedsim.data.embedded").joinpath(FILE).read_text("utf-8")
        arrays = json.loads(text)["arrays"]
        train, test = (
            Split(
                unpack(arrays[f"{part}_images"]).unsqueeze(1),
                unpack(arrays[f"{part}_labels"]).to(torch.int64),
            )
            for part in ("train", "test")
        )
        return Dataset("fashion-mnist-mini", train, test, FashionMnist.classes)


def unpack(packed: dict[str, Any]) -> torch.Tensor:
    """Return an array of an embedded file: its shape, and its bytes as xz in base 85."""
    raw = lzma.decompress(base64.b85decode(packed["xz_base85"]))
    return torch.from_numpy(np.frombuffer(bytearray(raw), np.uint8).reshape(packed["shape"]))
