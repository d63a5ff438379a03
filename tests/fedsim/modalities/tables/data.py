"""Rows of numbers, each in one of two classes."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fedsim.core.registry import DATASETS
from fedsim.data import DatasetSource, Examples, IndexArray


@dataclass(frozen=True, eq=False)
class Rows(Examples):
    values: Tensor
    labels: Tensor
    task: str = "classify"

    def batch(self, indices: IndexArray, seed: int = 0) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(indices)
        return self.values[chosen], self.labels[chosen]


@dataclass(frozen=True, eq=False)
class Table:
    name: str
    train: Rows
    test: Rows
    classes: tuple[str, ...] = ("low", "high")

    @property
    def num_classes(self) -> int:
        return len(self.classes)


@DATASETS.register("toy-table")
class ToyTable(DatasetSource):
    """Rows of six numbers in [0, 1]."""

    modality = "tables"

    def load(self, data_dir: Path | None) -> Table:
        train, test = torch.rand(2, 24, 6, generator=torch.Generator().manual_seed(0))
        return Table("toy-table", *(Rows(v, (v.mean(1) > 0.5).long()) for v in (train, test)))
