"""Positive control: an attack on public data, which shows whether the attack works."""

import copy

import numpy as np
import torch
from torch import nn

from fedsim.attacks import Observation
from fedsim.attacks.batch_norm import uploaded_statistics
from fedsim.core.seeds import derive
from fedsim.data import Examples, IndexArray, draw_batch
from fedsim.models import cross_entropy

CONTROL = "control"


def control_indices(
    public: Examples, batch_size: int, *, seed: int, server_round: int
) -> IndexArray:
    """Return the indices of the public examples of a round's control, ``(batch_size,)``."""
    everything = torch.arange(len(public)).numpy()
    own_seed = derive(seed, CONTROL)
    [batch] = draw_batch(
        everything, batch_size, seed=own_seed, server_round=server_round, partition=0
    )
    return np.asarray(batch)


def control_observation(
    model: nn.Module, public: Examples, indices: IndexArray, *, reads_statistics: bool = False
) -> Observation:
    """Return the undefended single-step gradient of public examples at the global model.

    If the attack cannot reconstruct these, its failure on the clients' data is not evidence for
    their defenses.

    Args:
        model: the global model in training mode. Not modified: it is the one that is attacked, and
            its BatchNorm buffers must not see the control's examples.
        public: examples that no client holds.
        indices: indices of the examples to use.
        reads_statistics: whether the server also reads the batch's BatchNorm statistics from the
            buffers of an upload.
    """
    before, model = model.state_dict(), copy.deepcopy(model)
    inputs, labels = public.batch(indices)
    device = next(model.parameters()).device
    loss = cross_entropy(model(inputs.to(device)), labels.to(device))
    named = {k: p for k, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()))
    gradient, shape = dict(zip(named, gradients, strict=True)), tuple(inputs.shape[1:])
    lengths = tuple(public.lengths([inputs])) if public.ragged else None
    statistics = None
    if reads_statistics:
        statistics = uploaded_statistics(
            model, before, model.state_dict(), input_shape=shape, batch_size=len(indices)
        )
    return Observation(gradient, shape, len(indices), lengths=lengths, statistics=statistics)
