"""One picture from the user's disk as the whole private data set."""

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from fedsim.core.registry import DATASETS
from fedsim.data.images import read_image
from fedsim.data.photographs import cut_outs
from fedsim.data.source import DatasetSource, FilePath
from fedsim.data.types import Dataset, Split

CLASSES = 10


class _OtherKind(Split):
    """Public pictures among which a private one cannot be ranked: cut-outs of few photographs."""

    alike = False


@DATASETS.register("picture")
class OwnPicture(DatasetSource):
    """One picture from disk, as the private data of one client.

    The public images, from which the adversary makes its positive control, are squares cut out of
    the public photographs that come with fedsim (``fedsim.data.photographs``).
    """

    path: Annotated[
        FilePath, Field(examples=["."], description="PNG, JPEG, GIF, WebP, BMP, TIFF or PPM")
    ]
    size: Annotated[int, Field(ge=8, description="side in pixels")] = 32
    channels: Annotated[int, Field(description="3 for colour, 1 for grey")] = 3
    label: Annotated[
        int, Field(ge=0, lt=CLASSES, description="the class that the client uses as the label")
    ] = 3

    def load(self, data_dir: Path | None) -> Dataset:
        """Read the picture; ``data_dir`` is not used.

        Raises:
            DataError: the file is missing, not a picture, broken or too large.
        """
        picture = read_image(self.path, (self.channels, self.size, self.size))
        public = cut_outs(self.channels, self.size)
        return Dataset(
            "picture",
            Split(picture[None], torch.tensor([self.label])),
            _OtherKind(public, torch.arange(len(public)) % CLASSES),
            tuple(map(str, range(CLASSES))),
        )
