"""Independent and identically distributed partitions."""

import numpy as np

from fedsim.core.registry import PARTITIONS
from fedsim.data.partitions.base import Partition
from fedsim.data.types import IndexArray


@PARTITIONS.register("iid")
class Iid(Partition):
    """Equal parts of the shuffled images; sizes differ by at most one."""

    def assign(
        self, labels: IndexArray, clients: int, rng: np.random.Generator
    ) -> list[IndexArray]:
        """Cut a permutation of all images into equal parts."""
        return np.array_split(rng.permutation(len(labels)), clients)
