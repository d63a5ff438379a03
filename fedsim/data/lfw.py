"""Labelled Faces in the Wild."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from fedsim.core.registry import DATASETS
from fedsim.data.folder import Fraction, Size
from fedsim.data.picture_files import image_files, read_splits
from fedsim.data.source import DatasetSource, not_found, search_places
from fedsim.data.types import Dataset

_VERSIONS = ("lfw_funneled", "lfw-deepfunneled", "lfw")
_LAYOUTS = (
    *(f"lfw-py/{version}" for version in _VERSIONS),
    *(f"lfw_home/{version}" for version in _VERSIONS),
    *(f"{version}/{version}" for version in _VERSIONS),
    *_VERSIONS,
    "",
)


@DATASETS.register("lfw")
class Lfw(DatasetSource):
    """Faces: 13,233 colour photographs of 5,749 people, whose names are the classes.

    Read from the unpacked archive, which has one folder per person, in the layout of torchvision,
    scikit-learn or the Kaggle mirror; the university no longer serves the archive, so there is no
    download. The official splits share no person between training and test, so a classifier
    cannot use them: a fraction of each person's photographs is held out instead.

    Source: Huang et al., University of Massachusetts, report 07-49, 2007.

    Args:
        size: height and width to resize the photographs to, in pixels.
        test_fraction: the fraction of the photographs to hold out for testing.
        min_images: omit people with fewer photographs; 1 keeps all 5,749.
    """

    size: Size = 32
    test_fraction: Fraction = 0.2
    min_images: Annotated[int, Field(ge=1)] = 1

    def load(self, data_dir: Path | None) -> Dataset:
        """Find the people's folders and read their photographs."""
        places = search_places(data_dir, _LAYOUTS)
        root = next((place for place in places if _people(place)), None)
        if root is None:
            expected = ["one folder per person, such as Aaron_Eckhart/Aaron_Eckhart_0001.jpg"]
            raise not_found("lfw", places, expected, "fetch and unpack the archive by hand")
        by_person = {person.name: image_files(person) for person in _people(root)}
        kept = {name: files for name, files in by_person.items() if len(files) >= self.min_images}
        files = [file for members in kept.values() for file in members]
        labels = [label for label, members in enumerate(kept.values()) for _ in members]
        shape = (3, self.size, self.size)
        train, test = read_splits(files, labels, root, shape, self.test_fraction)
        return Dataset("lfw", train, test, tuple(kept))


def _people(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if (path / f"{path.name}_0001.jpg").is_file())
