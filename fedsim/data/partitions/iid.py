"""Independent and identically distributed partitions."""

from typing import Annotated

import numpy as np
from pydantic import Field

from fedsim.core.registry import PARTITIONS
from fedsim.data.partitions.base import Partition
from fedsim.data.types import IndexArray


@PARTITIONS.register("iid")
class Iid(Partition):
    """Equal parts of the shuffled images; sizes differ by at most one."""

    examples: Annotated[
        int | None, Field(ge=1, description="examples of each client at most; by default all")
    ] = None

    def assign(
        self, labels: IndexArray, clients: int, rng: np.random.Generator
    ) -> list[IndexArray]:
        """Cut a permutation of all images into equal parts."""
        parts = np.array_split(rng.permutation(len(labels)), clients)
        return [part[: self.examples] for part in parts]
