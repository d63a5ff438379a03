"""Uploads of private batches under changed models."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.attacks import Attack, Observation
from fedsim.clients.training import differentiate
from fedsim.core.registry import DATASETS
from fedsim.data import Dataset
from fedsim.scoring.metrics.images import psnr
from fedsim.server.malicious import Changed, Manipulation, Public


@lru_cache(maxsize=1)
def clothes() -> Dataset:
    found: Dataset = DATASETS.get("fashion-mnist-mini")().load(None)
    return found


def public(batch_size: int) -> Public:
    inputs, labels = clothes().test.batch(np.arange(len(clothes().test)))
    return Public(inputs, batch_size, labels)


def private(batch_size: int, first: int = 0) -> tuple[Tensor, Tensor]:
    return clothes().train.batch(np.arange(first, first + batch_size))


def changed(manipulation: Manipulation, model: nn.Module, batch_size: int) -> Changed:
    generator = torch.Generator().manual_seed(7)
    return manipulation.change(model, public(batch_size), generator)


def observed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Observation:
    gradients = differentiate(model, batch).gradients
    return Observation(gradients, tuple(batch[0].shape[1:]), len(batch[0]))


def recovered(attack: Attack, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the PSNR in dB of the reconstruction that is nearest to each private picture."""
    [found] = attack.run(model, [observed(model, batch)])
    assert found.data is not None, found.error
    nearest = torch.cdist(batch[0].flatten(1), found.data.flatten(1)).argmin(1)
    return psnr(found.data[nearest], batch[0])
