"""Partitions of given sizes."""

import itertools
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field

from fedsim.core.errors import DataError
from fedsim.core.registry import PARTITIONS
from fedsim.data.partitions.base import Partition
from fedsim.data.types import IndexArray

Sizes = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
]


@PARTITIONS.register("sizes")
class GivenSizes(Partition):
    """Parts of the shuffled images with given sizes, as clients with unequal data have them."""

    sizes: Annotated[
        Sizes,
        Field(min_length=1, examples=[[40, 10]], description="number of examples of each client"),
    ]

    def assign(
        self, labels: IndexArray, clients: int, rng: np.random.Generator
    ) -> list[IndexArray]:
        """Cut a permutation of all images into parts of these sizes.

        Raises:
            DataError: there is not one size for each client, or there are too few images.
        """
        if len(self.sizes) != clients:
            raise DataError(
                f"data.partition.sizes: {len(self.sizes)} sizes for {clients} clients: expected "
                "one for each"
            )
        if sum(self.sizes) > len(labels):
            raise DataError(
                f"data.partition.sizes: {sum(self.sizes)} images in all, and the data set has "
                f"{len(labels)}: use smaller sizes, or a larger data set"
            )
        cuts = np.cumsum((0, *self.sizes))
        order = rng.permutation(len(labels))
        return [order[a:b] for a, b in itertools.pairwise(cuts)]
