"""Partitions with unequal shares of every class."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from fedsim.core.errors import DataError
from fedsim.core.registry import PARTITIONS
from fedsim.data.partitions.base import Partition
from fedsim.data.types import IndexArray


@PARTITIONS.register("dirichlet")
class Dirichlet(Partition):
    """Each class is shared out in proportions drawn from a symmetric Dirichlet distribution.

    Source: Li et al., arXiv 2102.02079, section IV ("distribution-based label imbalance"), after
    Yurochkin et al., arXiv 1905.12022. The papers redraw all proportions until every
    client has enough images, which may never happen; here, images move from the largest partitions
    to those with too few.

    Args:
        alpha: concentration; small values give each client few classes, large ones (100) come
            close to equal shares.
        min_images: minimum number of images of a client.
    """

    by_class: ClassVar[bool] = True

    alpha: Annotated[float, Field(gt=0)] = 0.5
    min_images: Annotated[int, Field(ge=1)] = 1

    def assign(
        self, labels: IndexArray, clients: int, rng: np.random.Generator
    ) -> list[IndexArray]:
        """Draw the proportions class by class, then fill up the clients with too few images."""
        if clients * self.min_images > len(labels):
            raise DataError(
                f"cannot give each of {clients} clients min_images = {self.min_images} of "
                f"{len(labels)} images: use fewer clients or a smaller min_images."
            )
        pieces: list[list[IndexArray]] = [[] for _ in range(clients)]
        for label in np.unique(labels):
            rows = rng.permutation(np.flatnonzero(labels == label))
            shares = rng.dirichlet(np.full(clients, self.alpha))
            cuts = np.rint(np.cumsum(shares)[:-1] * len(rows)).astype(np.int64)
            for client, piece in enumerate(np.split(rows, cuts)):
                pieces[client].append(piece)
        parts = [rng.permutation(np.concatenate(own)) for own in pieces]
        return _filled_up(parts, self.min_images)


def _filled_up(parts: list[IndexArray], least: int) -> list[IndexArray]:
    sizes = np.array([len(part) for part in parts])
    while sizes.min() < least:
        giver, taker = int(sizes.argmax()), int(sizes.argmin())
        # Not below the mean of the two: the giver must not end with fewer images than the taker.
        moved = min(least - sizes[taker], (sizes[giver] - sizes[taker]) // 2)
        parts[taker] = np.concatenate([parts[taker], parts[giver][:moved]])
        parts[giver] = parts[giver][moved:]
        sizes[giver] -= moved
        sizes[taker] += moved
    return parts
