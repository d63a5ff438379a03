"""A dense network on rows."""

import torch
from torch import nn

from fedsim.core.registry import MODELS
from fedsim.models import Spec
from tests.fedsim.modalities.tables.data import Table


class RowModel(nn.Sequential):
    modality = "tables"


@MODELS.register("row-mlp")
class RowMlp(Spec):
    """One hidden layer of sigmoids."""

    modality = "tables"
    hidden: int = 8

    def for_data(self, dataset: Table, seed: int) -> tuple[Table, nn.Module]:
        inputs = dataset.train.values.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = RowModel(
                nn.Linear(inputs, self.hidden),
                nn.Sigmoid(),
                nn.Linear(self.hidden, dataset.num_classes),
            )
        return dataset, model.train()
