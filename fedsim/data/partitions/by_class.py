"""Partitions with a fixed number of classes each."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from fedsim.core.errors import DataError
from fedsim.core.registry import PARTITIONS
from fedsim.data.partitions.base import Partition
from fedsim.data.types import IndexArray


@PARTITIONS.register("by-class")
class ByClass(Partition):
    """Each client holds images of a fixed number of classes.

    The classes are dealt out as evenly as possible, and the images of a class are shared equally
    by the clients that hold it. Images of classes that no client holds are omitted, which
    happens if clients x classes_per_client is less than the number of classes.

    Args:
        classes_per_client: number of different classes for each client.
    """

    by_class: ClassVar[bool] = True

    classes_per_client: Annotated[int, Field(ge=1)] = 2

    def assign(
        self, labels: IndexArray, clients: int, rng: np.random.Generator
    ) -> list[IndexArray]:
        """Deal the classes, then share out each class among its holders."""
        classes = np.unique(labels)
        if self.classes_per_client > len(classes):
            raise DataError(
                f"cannot give each client classes_per_client = {self.classes_per_client} "
                f"classes: the training images have {len(classes)}. Use a smaller number."
            )
        holders = self._deal(len(classes), clients, rng)
        pieces: list[list[IndexArray]] = [[] for _ in range(clients)]
        for label, owners in zip(classes, holders, strict=True):
            rows = rng.permutation(np.flatnonzero(labels == label))
            if len(rows) < len(owners):
                raise DataError(
                    f"class {label} has {len(rows)} images for the {len(owners)} clients that "
                    "should hold it: use fewer clients or a smaller classes_per_client."
                )
            if owners:
                for owner, piece in zip(owners, np.array_split(rows, len(owners)), strict=True):
                    pieces[owner].append(piece)
        return [np.concatenate(own) for own in pieces]

    def _deal(self, classes: int, clients: int, rng: np.random.Generator) -> list[list[int]]:
        """Return the clients that hold each class; each client gets the least assigned classes."""
        holders: list[list[int]] = [[] for _ in range(classes)]
        for client in range(clients):
            order = sorted(rng.permutation(classes), key=lambda label: len(holders[label]))
            for label in order[: self.classes_per_client]:
                holders[label].append(client)
        return holders
