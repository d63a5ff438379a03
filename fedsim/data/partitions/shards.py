"""Partitions made of slices of the images sorted by class."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from fedsim.core.errors import DataError
from fedsim.core.registry import PARTITIONS
from fedsim.data.partitions.base import Partition
from fedsim.data.types import IndexArray


@PARTITIONS.register("shards")
class Shards(Partition):
    """The images are sorted by class and cut into equal shards, which are dealt out at random.

    Source: McMahan et al., arXiv 1602.05629, section 3 ("pathological non-IID").

    Args:
        shards_per_client: number of shards for each client; with 2, most clients see two
            classes.
    """

    by_class: ClassVar[bool] = True

    shards_per_client: Annotated[int, Field(ge=1)] = 2

    def assign(
        self, labels: IndexArray, clients: int, rng: np.random.Generator
    ) -> list[IndexArray]:
        """Sort, cut, and deal the shards."""
        count = clients * self.shards_per_client
        if count > len(labels):
            raise DataError(
                f"cannot cut {len(labels)} images into {count} shards ({self.shards_per_client} "
                f"for each of {clients} clients): use fewer clients or shards_per_client."
            )
        shuffled = rng.permutation(len(labels))
        by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
        shards = np.array_split(by_class, count)
        hands = rng.permutation(count).reshape(clients, self.shards_per_client)
        return [np.concatenate([shards[number] for number in hand]) for hand in hands]
