"""CIFAR and SVHN, read by torchvision, which takes seconds to import and is imported late."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch

from fedsim.core.checked import checked
from fedsim.core.errors import DataError
from fedsim.core.registry import DATASETS
from fedsim.data.download import explained
from fedsim.data.source import DatasetSource, cache_dir, not_found, search_places
from fedsim.data.types import Dataset, Split


@checked
class TorchvisionSource(DatasetSource, ABC):
    """Base class of data sets that torchvision reads.

    CIFAR's files are pickles, which can run code: no file is opened before all files have the
    checksums that torchvision expects.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str]

    download: bool = False

    @abstractmethod
    def checksums(self) -> dict[str, str]:
        """Return the MD5 of each file that the data set needs, by its path below the root."""

    @abstractmethod
    def read(self, root: Path) -> Dataset:
        """Read the data set below ``root``, downloading it there if requested."""

    def load(self, data_dir: Path | None) -> Dataset:
        """Find, check and read the files, downloading them first if requested."""
        places = search_places(data_dir, ["", self.name, self.name.upper()])
        root = next((place for place in places if self._complete(place)), None)
        if root is None and not self.download:
            raise not_found(self.name, places, list(self.checksums()), "set download = true")
        if root is not None and not self.download:
            self._verify(root)
        root = root or data_dir or cache_dir()
        with explained(self.name, root):
            return self.read(root)

    def _complete(self, root: Path) -> bool:
        return all((root / file).is_file() for file in self.checksums())

    def _verify(self, root: Path) -> None:
        from torchvision.datasets.utils import check_integrity  # noqa: PLC0415

        for file, md5 in self.checksums().items():
            if not check_integrity(root / file, md5):
                raise DataError(
                    f"{root / file} is damaged, or not the file of the data set {self.name!r}: "
                    f"its MD5 is not {md5}. It was not opened. Replace it, or remove it and set "
                    "download = true."
                )


def _torchvision(name: str) -> Any:
    """Return torchvision's class with that name."""
    import torchvision.datasets as tv  # noqa: PLC0415

    return getattr(tv, name)


@checked
class CifarSource(TorchvisionSource, ABC):
    """Base class of CIFAR-10 and CIFAR-100."""

    origin: ClassVar[str]

    def checksums(self) -> dict[str, str]:
        """Return the checksums of torchvision."""
        kind = _torchvision(self.origin)
        files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
        return {f"{kind.base_folder}/{file}": md5 for file, md5 in files}

    def read(self, root: Path) -> Dataset:
        """Read the batches in torchvision's folder below ``root``."""
        kind = _torchvision(self.origin)
        train = kind(str(root), train=True, download=self.download)
        test = kind(str(root), train=False)
        return Dataset(self.name, _cifar_split(train), _cifar_split(test), tuple(train.classes))


def _cifar_split(part: Any) -> Split:
    images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor(part.targets, dtype=torch.int64))


@DATASETS.register("cifar10")
class Cifar10(CifarSource):
    """Photographs: 50,000 + 10,000 colour images of 32 x 32, 10 classes.

    Source: Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str] = "cifar10"
    origin: ClassVar[str] = "CIFAR10"


@DATASETS.register("cifar100")
class Cifar100(CifarSource):
    """Photographs: 50,000 + 10,000 colour images of 32 x 32, 100 fine classes.

    Source: Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str] = "cifar100"
    origin: ClassVar[str] = "CIFAR100"


@DATASETS.register("svhn")
class Svhn(TorchvisionSource):
    """House numbers: 73,257 + 26,032 colour images of 32 x 32, 10 classes.

    Source: Netzer et al., http://ufldl.stanford.edu/housenumbers/. Without its extra set.

    Args:
        download: fetch the files into ``data_dir`` if they are not there.
    """

    name: ClassVar[str] = "svhn"

    def checksums(self) -> dict[str, str]:
        """Return the checksums of torchvision."""
        parts = _torchvision("SVHN").split_list
        return {file: md5 for _, file, md5 in (parts[part] for part in ("train", "test"))}

    def read(self, root: Path) -> Dataset:
        """Read ``train_32x32.mat`` and ``test_32x32.mat`` in ``root``."""
        train, test = (self._read_part(root, part) for part in ("train", "test"))
        return Dataset(self.name, train, test, classes=tuple("0123456789"))

    def _read_part(self, root: Path, part: str) -> Split:
        content = _torchvision("SVHN")(str(root), part, download=self.download)
        return Split(torch.from_numpy(content.data.copy()), torch.from_numpy(content.labels))
