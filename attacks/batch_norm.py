"""BatchNorm statistics that the server holds: of a batch, by uploaded buffers, and running ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from fedsim.core.modality import PICTURES, modality_of
from fedsim.core.modules import batch_norms

STATISTICS = (".running_mean", ".running_var")
_COUNT = "num_batches_tracked"

Source = Literal["uploaded", "running", "none"]
"""Statistics that an attack compares with: those of the batch, read from uploaded buffers; the
model's running ones, an average over earlier batches; or none."""


def uploaded_statistics(
    model: nn.Module,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    *,
    input_shape: tuple[int, ...],
    batch_size: int,
) -> dict[str, Tensor] | None:
    """Return the statistics of one batch behind the change of BatchNorm's buffers, or None.

    A layer of momentum m turns its running mean r into (1 - m) r + m b, where b is the mean of the
    batch, so that b follows from both; in the same way the variance, which the buffers keep
    unbiased and BatchNorm normalises by biased. The counter of batches shows whether exactly one
    batch was averaged: after several forward passes only a mixture of their statistics is left,
    and the result is None. It is also None for a model without running statistics.

    Args:
        model: the architecture, with any weights.
        before: the global model's buffers by name.
        after: the buffers that the client uploads.
        input_shape: shape of one example.
        batch_size: examples of the batch.

    Returns:
        By ``<layer>.running_mean`` and ``<layer>.running_var``, as in `Observation.statistics`.
    """
    layers = {k: n for k, n in batch_norms(model).items() if n.running_mean is not None}
    needed = [f"{k}{end}" for k in layers for end in (*STATISTICS, f".{_COUNT}")]
    known = all(name in before and name in after for name in needed)
    if not layers or not known or modality_of(model) != PICTURES:
        return None
    counts = {int(after[f"{k}.{_COUNT}"] - before[f"{k}.{_COUNT}"]) for k in layers}
    if counts != {1}:
        return None
    sizes = _values_per_channel(model, (batch_size, *input_shape))
    found = {}
    for name, layer in layers.items():
        count = int(after[f"{name}.{_COUNT}"])
        momentum = _momentum(layer, count)
        if momentum == 0 or sizes.get(name, 0) < 2:
            return None
        for end in STATISTICS:
            old, new = before[name + end].double(), after[name + end].double()
            found[name + end] = (new - (1 - momentum) * old) / momentum
        share = (sizes[name] - 1) / sizes[name]  # from the unbiased variance to the biased one
        found[f"{name}.running_var"] = (share * found[f"{name}.running_var"]).clamp(min=0)
    return {k: s.to(after[k].dtype) for k, s in found.items()}


def running_statistics(model: nn.Module) -> dict[str, Tensor] | None:
    """Return the model's running statistics without the share of their initial values, or None.

    Buffers start at mean 0 and variance 1. After k batches of momentum m these values still have
    the weight (1 - m)^k, which is divided out. None if a layer has not averaged any batch: then its
    buffers say nothing about data.
    """
    found = {}
    for name, layer in batch_norms(model).items():
        mean, variance, count = layer.running_mean, layer.running_var, layer.num_batches_tracked
        if not (isinstance(mean, Tensor) and isinstance(variance, Tensor)):
            return None
        if not isinstance(count, Tensor) or int(count) == 0:
            return None
        initial = 0.0 if layer.momentum is None else (1 - _momentum(layer, 1)) ** int(count)
        if initial == 1:
            return None
        found[f"{name}.running_mean"] = mean / (1 - initial)
        found[f"{name}.running_var"] = ((variance - initial) / (1 - initial)).clamp(min=0)
    return found or None


def _momentum(layer: nn.Module, count: int) -> float:
    """Return the weight of the last of several batches in a layer's running statistics."""
    momentum = layer.momentum
    return float(momentum) if isinstance(momentum, int | float) else 1 / count


def _values_per_channel(model: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Return the number of values that each BatchNorm layer averages per channel."""
    probe, sizes = copy.deepcopy(model).eval(), dict[str, int]()
    for name, layer in batch_norms(probe).items():

        def note(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            sizes[name] = inputs[0].numel() // inputs[0].shape[1]

        layer.register_forward_pre_hook(note)
    like = next(probe.parameters())
    with torch.no_grad():
        probe(torch.zeros(shape, dtype=like.dtype, device=like.device))
    return sizes
