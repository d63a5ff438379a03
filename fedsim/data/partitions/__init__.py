"""Partitions: rules that share the training images out among the clients.

Importing this package registers every partition that comes with fedsim.
"""

from fedsim.data.partitions.base import Partition
from fedsim.data.partitions.by_class import ByClass
from fedsim.data.partitions.dirichlet import Dirichlet
from fedsim.data.partitions.flower import FlwrDatasets
from fedsim.data.partitions.iid import Iid
from fedsim.data.partitions.shards import Shards
from fedsim.data.partitions.sizes import GivenSizes

__all__ = ["ByClass", "Dirichlet", "FlwrDatasets", "GivenSizes", "Iid", "Partition", "Shards"]
