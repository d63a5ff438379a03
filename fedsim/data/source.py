"""Base class of every data set source, and the search for data sets on disk."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from fedsim.core.checked import Parameters, checked
from fedsim.core.errors import DataError
from fedsim.core.modality import PICTURES
from fedsim.data.tokens import TextDataset
from fedsim.data.types import Dataset

DEBIAN_DATASETS = Path("/usr/share/datasets")


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


FilePath = Annotated[Path, Field(strict=False), AfterValidator(_absolute)]
"""A path as a parameter: a string, as in TOML, is accepted.

The path is made absolute at once, because workers may run in another folder.
"""


@checked
class DatasetSource(Parameters, ABC):
    """Source of a data set, with the parameters of a scenario."""

    modality: ClassVar[str] = PICTURES
    """Registered name of the modality of the data."""

    @abstractmethod
    def load(self, data_dir: Path | None) -> Dataset | TextDataset:
        """Read the data set.

        Args:
            data_dir: the user's folder of data sets; nothing is written there unless downloading
                was requested. None means the usual folders.

        Raises:
            DataError: it cannot be found, read or downloaded.
        """


def load_dataset(source: DatasetSource, data_dir: Path | None = None) -> Dataset | TextDataset:
    """Load the data set that ``source`` describes, once per process.

    Args:
        source: the data set to load.
        data_dir: the user's folder of data sets; None means fedsim's cache and Debian's
            ``/usr/share/datasets``.

    Raises:
        DataError: the data set cannot be found, read or downloaded; the message names the files,
            the folders searched, and a remedy.
    """
    return _load(source, None if data_dir is None else _absolute(data_dir))


@lru_cache(maxsize=8)
def _load(source: DatasetSource, data_dir: Path | None) -> Dataset | TextDataset:
    return source.load(data_dir)


def cache_dir() -> Path:
    """Return the default folder for downloads."""
    return _absolute(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "fedsim"


def search_places(data_dir: Path | None, layouts: Iterable[str]) -> list[Path]:
    """List the folders in which a data set may be, in order of preference.

    Args:
        data_dir: the user's folder of data sets, or None for the usual folders.
        layouts: possible sub-folders of the data set, ``""`` for the folder itself.
    """
    roots = [cache_dir(), DEBIAN_DATASETS] if data_dir is None else [data_dir]
    return [root / layout for root in roots for layout in layouts]


def not_found(name: str, looked: Sequence[Path], expected: Sequence[str], remedy: str) -> DataError:
    """Return the error for a data set that is not on disk.

    Args:
        name: the data set's registered name.
        looked: the folders that were searched.
        expected: the files or folders that one of them should contain.
        remedy: a clause with a further remedy, such as downloading.
    """
    return DataError(
        f"the data set {name!r} is not on disk.\n"
        f"  looked in: {', '.join(str(place) for place in looked)}\n"
        f"  expected there: {', '.join(expected)}\n"
        f"  what to do: set data_dir to the folder that holds them, {remedy}, "
        "or use 'fashion-mnist-mini', which comes with fedsim."
    )
