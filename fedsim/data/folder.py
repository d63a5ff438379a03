"""A folder of pictures as a data set."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fedsim.core.errors import DataError
from fedsim.core.registry import DATASETS
from fedsim.data.picture_files import image_files, read_splits
from fedsim.data.source import DatasetSource, FilePath
from fedsim.data.types import Dataset

Fraction = Annotated[float, Field(gt=0, lt=1)]
Size = Annotated[int, Field(ge=1, le=1024)]


@DATASETS.register("folder")
class Folder(DatasetSource):
    """Your own pictures: a folder of them, or a folder with one sub-folder per class.

    Pictures are cropped around their centre to a square and resized. Files without a
    picture's suffix and hidden files are skipped. The names of the pictures alone determine which
    of them are held out for testing.

    Args:
        path: the folder.
        size: height and width of the resized pictures, in pixels.
        channels: 3 for colour, 1 for grey.
        test_fraction: the fraction of the pictures to hold out for testing.
        classes: number of artificial classes if there are no sub-folders: a picture's label is its
            position in the sorted names, modulo this number. Ignored with sub-folders.
    """

    path: Annotated[FilePath, Field(examples=["."])]
    size: Size = 32
    channels: Literal[1, 3] = 3
    test_fraction: Fraction = 0.2
    classes: Annotated[int, Field(ge=2)] = 10

    def load(self, data_dir: Path | None) -> Dataset:
        """Read the pictures; ``data_dir`` is not used."""
        if not self.path.is_dir():
            raise DataError(f"there is no folder {self.path}: expected one with pictures in it.")
        files, labels, classes = self._labelled()
        shape = (self.channels, self.size, self.size)
        train, test = read_splits(files, labels, self.path, shape, self.test_fraction)
        return Dataset(f"folder {self.path.name}", train, test, classes)

    def _labelled(self) -> tuple[list[Path], list[int], tuple[str, ...]]:
        direct = image_files(self.path, nested=False)
        folders = sorted(
            path for path in self.path.iterdir() if path.is_dir() and path.name[0] != "."
        )
        by_class = {path.name: files for path in folders if (files := image_files(path))}
        if not by_class:
            labels = [place % self.classes for place in range(len(direct))]
            return direct, labels, tuple(str(label) for label in range(self.classes))
        if direct or len(by_class) < 2:
            raise DataError(
                f"{self.path} holds {len(direct)} picture(s) directly and others in "
                f"{len(by_class)} sub-folder(s): expected either pictures alone, or at least two "
                "sub-folders, one for each class. Move them accordingly."
            )
        files = [file for members in by_class.values() for file in members]
        labels = [label for label, members in enumerate(by_class.values()) for _ in members]
        return files, labels, tuple(by_class)
