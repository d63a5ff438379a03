"""Base class of every partition."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

import numpy as np

from fedsim.core.checked import Parameters, checked
from fedsim.core.errors import DataError
from fedsim.core.seeds import derive
from fedsim.data.types import IndexArray


@checked
class Partition(Parameters, ABC):
    """A rule that assigns training images to clients."""

    by_class: ClassVar[bool] = False
    """Whether it shares the classes out, so that each image must have one."""

    @final
    def split(self, labels: IndexArray, clients: int, seed: int) -> list[IndexArray]:
        """Share the images out.

        Args:
            labels: ``(N,)`` the label of each training image.
            clients: number of clients.
            seed: the run's seed; the same seed gives the same partitions.

        Returns:
            The sorted positions of each client's images. Every client has at least one image, and
            every image at most one client.

        Raises:
            DataError: there are too few images for the clients, or the rule broke its contract.
        """
        labels = np.asarray(labels, dtype=np.int64)
        if clients < 1:
            raise DataError(f"cannot share images out among {clients} clients: expected 1 or more.")
        if clients > len(labels):
            raise DataError(
                f"cannot share {len(labels)} images out among {clients} clients: each needs at "
                "least one. Use fewer clients or a larger data set."
            )
        rng = np.random.default_rng(derive(seed, "partition"))
        parts = [
            np.sort(np.asarray(part, dtype=np.int64)) for part in self.assign(labels, clients, rng)
        ]
        self._check(parts, len(labels), clients)
        return parts

    @abstractmethod
    def assign(
        self, labels: IndexArray, clients: int, rng: np.random.Generator
    ) -> list[IndexArray]:
        """Return the positions of each client's images, in any order.

        Args:
            labels: ``(N,)`` the label of each training image.
            clients: number of clients, from 1 to N.
            rng: the only source of randomness.
        """

    def _check(self, parts: list[IndexArray], images: int, clients: int) -> None:
        rule = f"the partition {type(self).__name__}"
        if len(parts) != clients:
            raise DataError(f"{rule} made {len(parts)} parts: expected one for each of {clients}.")
        empty = [number for number, part in enumerate(parts) if len(part) == 0]
        if empty:
            raise DataError(
                f"{rule} left {len(empty)} of {clients} clients without images (the first is "
                f"client {empty[0]}): use fewer clients or other parameters."
            )
        held = np.concatenate(parts)
        if len(np.unique(held)) != len(held) or held.min() < 0 or held.max() >= images:
            raise DataError(
                f"{rule} gave an image to two clients, or one that does not exist: expected "
                f"different positions from 0 to {images - 1}. This is an error in the partition."
            )
