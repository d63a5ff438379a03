"""MNIST and Fashion-MNIST, read from their published files.

torchvision, which knows the download addresses, takes seconds to import and is imported late.
"""

from abc import ABC
from pathlib import Path
from typing import ClassVar

import torch

from fedsim.core.checked import checked
from fedsim.core.errors import DataError
from fedsim.core.registry import DATASETS
from fedsim.data.download import explained
from fedsim.data.idx import read_idx
from fedsim.data.source import DatasetSource, cache_dir, not_found, search_places
from fedsim.data.types import Dataset, Split

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_FIRST_LABELS = {
    (5, 0, 4, 1, 9, 2, 1, 3, 1, 4): "mnist",
    (9, 0, 0, 3, 0, 2, 7, 2, 5, 5): "fashion-mnist",
}


@checked
class IdxSource(DatasetSource, ABC):
    """A data set in four IDX files, plain or gzipped.

    The files are read here and not by torchvision, which reads unpacked files in one layout
    only and hands an old ``processed/*.pt`` to ``torch.load``. They are found directly in
    ``data_dir``, in a sub-folder with the data set's name, or in torchvision's own layout.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str]
    origin: ClassVar[str]  # the torchvision class that knows the download addresses
    classes: ClassVar[tuple[str, ...]]

    download: bool = False

    def load(self, data_dir: Path | None) -> Dataset:
        """Read the four files, downloading them first if requested."""
        own = self.origin
        layouts = [f"{own}/raw", own, self.name, f"{self.name}/raw", "raw", ""]
        places = search_places(data_dir, layouts)
        files = next((found for place in places if (found := _files_in(place))), None)
        if files is None:
            if not self.download:
                expected = [f"{name}[.gz]" for name in _FILES]
                raise not_found(self.name, places, expected, "set download = true")
            files = self._fetch(data_dir or cache_dir())
        return self._read(*files)

    def _fetch(self, root: Path) -> list[Path]:
        import torchvision.datasets as tv  # noqa: PLC0415

        origin = getattr(tv, self.origin)
        raw = root / self.origin / "raw"
        with explained(self.name, root):
            for filename, md5 in origin.resources:
                _fetch_file([mirror + filename for mirror in origin.mirrors], raw, md5)
        return [raw / name for name in _FILES]

    def _read(
        self, train_images: Path, train_labels: Path, test_images: Path, test_labels: Path
    ) -> Dataset:
        train = _read_split(train_images, train_labels)
        known = _FIRST_LABELS.get(tuple(train.labels[:10].tolist()), self.name)
        if known != self.name:
            raise DataError(
                f"the files in {train_labels.parent} belong to {known!r}, not to "
                f"{self.name!r} (the names are the same): set data_dir to another folder."
            )
        return Dataset(self.name, train, _read_split(test_images, test_labels), self.classes)


@DATASETS.register("mnist")
class Mnist(IdxSource):
    """Handwritten digits: 60,000 + 10,000 grey images of 28 x 28, 10 classes.

    Source: LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist/.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str] = "mnist"
    origin: ClassVar[str] = "MNIST"
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")


@DATASETS.register("fashion-mnist")
class FashionMnist(IdxSource):
    """Clothes: 60,000 + 10,000 grey images of 28 x 28, 10 classes.

    Source: Xiao, Rasul, Vollgraf, arXiv 1708.07747. On Debian the package
    ``dataset-fashion-mnist`` has it.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str] = "fashion-mnist"
    origin: ClassVar[str] = "FashionMNIST"
    classes: ClassVar[tuple[str, ...]] = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip


def _files_in(folder: Path) -> list[Path]:
    found = []
    for name in _FILES:
        candidates = (folder / name, folder / f"{name}.gz")
        existing = [path for path in candidates if path.is_file()]
        if not existing:
            return []
        found.append(existing[0])
    return found


def _read_split(image_file: Path, label_file: Path) -> Split:
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if len(images) != len(labels):
        raise DataError(
            f"{image_file} has {len(images)} images and {label_file} {len(labels)} labels: "
            "expected equal numbers. One of the two files belongs to another data set."
        )
    return Split(torch.tensor(images).unsqueeze(1), torch.tensor(labels).to(torch.int64))


def _fetch_file(urls: list[str], folder: Path, md5: str) -> None:
    from torchvision.datasets.utils import download_and_extract_archive  # noqa: PLC0415

    for url in urls[:-1]:
        try:
            download_and_extract_archive(url, str(folder), md5=md5)
        except (OSError, RuntimeError):
            continue
        return
    download_and_extract_archive(urls[-1], str(folder), md5=md5)
