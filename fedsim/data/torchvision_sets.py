"""CIFAR and SVHN, read by torchvision."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
import torchvision.datasets as tv  # type: ignore[import-untyped]
from pydantic.dataclasses import dataclass

from fedsim.data.download import explained
from fedsim.data.source import PARAMETERS, DatasetSource, cache_dir, not_found, search_places
from fedsim.data.types import Dataset, Split
from fedsim.errors import DataError
from fedsim.registry import DATASETS


@dataclass(frozen=True, config=PARAMETERS)
class TorchvisionSource(DatasetSource, ABC):
    """A data set that torchvision reads.

    CIFAR's files are pickles, which can run code: nothing is opened before all files have the
    checksums that torchvision knows.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str]
    checksums: ClassVar[dict[str, str]]

    download: bool = False

    @abstractmethod
    def read(self, root: Path) -> Dataset:
        """Read the data set below ``root``, downloading it there if that was asked for."""

    def load(self, data_dir: Path | None) -> Dataset:
        """Find the files, check them and read them, fetching them first if asked to."""
        places = search_places(data_dir, ["", self.name, self.name.upper()])
        root = next((place for place in places if self._complete(place)), None)
        if root is None and not self.download:
            raise not_found(self.name, places, list(self.checksums), "set download = true")
        if root is not None and not self.download:
            self._verify(root)
        root = root or data_dir or cache_dir()
        with explained(self.name, root):
            return self.read(root)

    def _complete(self, root: Path) -> bool:
        return all((root / file).is_file() for file in self.checksums)

    def _verify(self, root: Path) -> None:
        for file, md5 in self.checksums.items():
            if not tv.utils.check_integrity(root / file, md5):
                raise DataError(
                    f"{root / file} is damaged, or not the file of the data set {self.name!r}: "
                    f"its MD5 is not {md5}. It was not opened. Replace it, or remove it and set "
                    "download = true."
                )


def _cifar_checksums(kind: type[tv.CIFAR10]) -> dict[str, str]:
    files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    return {f"{kind.base_folder}/{file}": md5 for file, md5 in files}


def _read_cifar(kind: type[tv.CIFAR10], source: TorchvisionSource, root: Path) -> Dataset:
    train = kind(str(root), train=True, download=source.download)
    test = kind(str(root), train=False)
    return Dataset(
        source.name, _cifar_split(train), _cifar_split(test), classes=tuple(train.classes)
    )


def _cifar_split(part: tv.CIFAR10) -> Split:
    images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor(part.targets, dtype=torch.int64))


@DATASETS.register("cifar10")
@dataclass(frozen=True, config=PARAMETERS)
class Cifar10(TorchvisionSource):
    """Photographs: 50,000 + 10,000 colour images of 32 x 32, 10 classes.

    Source: Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str] = "cifar10"
    checksums: ClassVar[dict[str, str]] = _cifar_checksums(tv.CIFAR10)

    def read(self, root: Path) -> Dataset:
        """Read ``cifar-10-batches-py`` below ``root``."""
        return _read_cifar(tv.CIFAR10, self, root)


@DATASETS.register("cifar100")
@dataclass(frozen=True, config=PARAMETERS)
class Cifar100(TorchvisionSource):
    """Photographs: 50,000 + 10,000 colour images of 32 x 32, 100 fine classes.

    Source: Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str] = "cifar100"
    checksums: ClassVar[dict[str, str]] = _cifar_checksums(tv.CIFAR100)

    def read(self, root: Path) -> Dataset:
        """Read ``cifar-100-python`` below ``root``."""
        return _read_cifar(tv.CIFAR100, self, root)


@DATASETS.register("svhn")
@dataclass(frozen=True, config=PARAMETERS)
class Svhn(TorchvisionSource):
    """House numbers: 73,257 + 26,032 colour images of 32 x 32, 10 classes.

    Source: Netzer et al., http://ufldl.stanford.edu/housenumbers/. Without its extra set.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str] = "svhn"
    checksums: ClassVar[dict[str, str]] = {
        file: md5 for _, file, md5 in (tv.SVHN.split_list[part] for part in ("train", "test"))
    }

    def read(self, root: Path) -> Dataset:
        """Read ``train_32x32.mat`` and ``test_32x32.mat`` in ``root``."""
        train, test = (self._read_part(root, part) for part in ("train", "test"))
        return Dataset(self.name, train, test, classes=tuple("0123456789"))

    def _read_part(self, root: Path, part: str) -> Split:
        content = tv.SVHN(str(root), part, download=self.download)
        return Split(torch.from_numpy(content.data.copy()), torch.from_numpy(content.labels))
