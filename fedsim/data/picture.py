"""One picture from the user's disk as the whole private data set."""

from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from pydantic import Field

from fedsim.core.registry import DATASETS
from fedsim.data.images import read_image
from fedsim.data.mini import FashionMnistMini
from fedsim.data.source import DatasetSource, FilePath
from fedsim.data.types import Dataset, Split

PUBLIC_IMAGES = 200


@DATASETS.register("picture")
class OwnPicture(DatasetSource):
    """One picture from disk, as the private data of one client.

    The public images, from which the adversary makes its positive control, are clothes of
    ``fashion-mnist-mini`` resized to the same shape; in colour their three channels are equal.
    """

    path: Annotated[
        FilePath, Field(examples=["."], description="PNG, JPEG, GIF, WebP, BMP, TIFF or PPM")
    ]
    size: Annotated[int, Field(ge=8, description="side in pixels")] = 32
    channels: Annotated[int, Field(description="3 for colour, 1 for grey")] = 3
    label: Annotated[
        int, Field(ge=0, le=9, description="the class that the client uses as the label")
    ] = 3

    def load(self, data_dir: Path | None) -> Dataset:
        """Read the picture; ``data_dir`` is not used.

        Raises:
            DataError: the file is missing, not a picture, broken or too large.
        """
        picture = read_image(self.path, (self.channels, self.size, self.size))
        clothes = FashionMnistMini().load(None)
        public = F.interpolate(
            clothes.test.images[:PUBLIC_IMAGES].float(), size=(self.size, self.size), mode="area"
        )
        shaped = public.round().to(torch.uint8).expand(-1, self.channels, -1, -1).contiguous()
        return Dataset(
            "picture",
            Split(picture[None], torch.tensor([self.label])),
            Split(shaped, clothes.test.labels[:PUBLIC_IMAGES]),
            tuple(str(i) for i in range(clothes.num_classes)),
        )
