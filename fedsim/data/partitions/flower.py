"""Partitioners of the package Flower Datasets."""

import importlib
import inspect
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import Field

from fedsim.core.errors import DataError, closest
from fedsim.core.registry import PARTITIONS
from fedsim.data.partitions.base import Partition
from fedsim.data.types import IndexArray

Argument = bool | int | float | str | list[int] | list[float]


@PARTITIONS.register("flwr-datasets")
class FlwrDatasets(Partition):
    """Any partitioner of the package flwr-datasets (install ``fedsim-leakage[partitioners]``).

    The partitioner gets the labels as its column ``label``. If it accepts them and they are not
    among ``arguments``, it also gets the number of clients, ``label`` as the column to partition
    by, and a seed.

    Args:
        partitioner: the name of its class, such as ``"DirichletPartitioner"``.
        arguments: arguments of its constructor, such as ``{ alpha = 0.3 }``.
    """

    partitioner: str
    arguments: dict[str, Argument] = Field(default_factory=dict)

    def assign(
        self, labels: IndexArray, clients: int, rng: np.random.Generator
    ) -> list[IndexArray]:
        """Partition the positions of the images with the partitioner."""
        kind = self._kind()
        given: dict[str, Any] = {
            "num_partitions": clients,
            "partition_by": "label",
            "seed": int(rng.integers(2**31)),
        }
        taken = inspect.signature(kind).parameters
        offered = {name: value for name, value in given.items() if name in taken}
        try:
            partitioner = kind(**(offered | self.arguments))
            partitioner.dataset = _required("datasets").Dataset.from_dict(
                {"label": labels.tolist(), "idx": list(range(len(labels)))}
            )
            parts = [partitioner.load_partition(n) for n in range(partitioner.num_partitions)]
            return [np.array(part["idx"], dtype=np.int64) for part in parts]
        except (TypeError, ValueError, KeyError, RuntimeError) as error:
            raise DataError(
                f"{self.partitioner} cannot share {len(labels)} images out among {clients} "
                f"clients with the arguments {self.arguments}: {error}. See its documentation at "
                "https://flower.ai/docs/datasets/."
            ) from error

    def _kind(self) -> type[Any]:
        # Only these classes: a scenario must not be able to call anything else by its name.
        module = _required("flwr_datasets.partitioner")
        kinds = {
            name: thing
            for name, thing in vars(module).items()
            if inspect.isclass(thing)
            and issubclass(thing, module.Partitioner)
            and not inspect.isabstract(thing)
        }
        if self.partitioner not in kinds:
            raise DataError(
                f"flwr-datasets has no partitioner {self.partitioner!r}: "
                f"{closest(self.partitioner, kinds)}"
            )
        return kinds[self.partitioner]


def _required(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"the partition 'flwr-datasets' needs a package that is not installed ({error}): "
            "pip install 'fedsim-leakage[partitioners]'"
        ) from error
