"""The positive control: public data that the adversary attacks itself, to see that it can."""

import numpy as np
import torch
from torch import nn

from fedsim.attacks import Observation
from fedsim.core.seeds import derive
from fedsim.data import Examples, IndexArray, draw_batch
from fedsim.models import cross_entropy

CONTROL = "control"


def control_indices(
    public: Examples, batch_size: int, *, seed: int, server_round: int
) -> IndexArray:
    """Return which public examples the control of a round is made of, ``(batch_size,)``."""
    everything = torch.arange(len(public)).numpy()
    own_seed = derive(seed, CONTROL)
    [batch] = draw_batch(
        everything, batch_size, seed=own_seed, server_round=server_round, partition=0
    )
    return np.asarray(batch)


def control_observation(model: nn.Module, public: Examples, indices: IndexArray) -> Observation:
    """Return the undefended single-step gradient of public examples at the global model.

    If the attack cannot rebuild these, that it does not rebuild the clients' data either
    says nothing of their defenses.

    Args:
        model: the global model in training mode.
        public: examples that are no client's.
        indices: which of them.
    """
    inputs, labels = public.batch(indices)
    device = next(model.parameters()).device
    loss = cross_entropy(model(inputs.to(device)), labels.to(device))
    named = {k: p for k, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()))
    gradient, shape = dict(zip(named, gradients, strict=True)), tuple(inputs.shape[1:])
    lengths = tuple(public.lengths([inputs])) if public.ragged else None
    return Observation(gradient, shape, len(indices), lengths=lengths)
