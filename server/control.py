"""The positive control: a picture that the adversary takes itself, to see that it can."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import nn

from attacks import Observation
from fedsim.data import IndexArray, Split, draw_batch
from fedsim.seeds import derive

CONTROL = "control"


def control_indices(public: Split, batch_size: int, *, seed: int, server_round: int) -> IndexArray:
    """Return which public images the control of a round is made of, ``(batch_size,)``."""
    everything = torch.arange(len(public)).numpy()
    own_seed = derive(seed, CONTROL)
    [batch] = draw_batch(
        everything, batch_size, seed=own_seed, server_round=server_round, partition=0
    )
    return np.asarray(batch)


def control_observation(model: nn.Module, public: Split, indices: IndexArray) -> Observation:
    """Return the undefended single-step gradient of public images at the global model.

    If the attack cannot rebuild these, that it does not rebuild the clients' images either
    says nothing of their defenses.

    Args:
        model: the global model in training mode.
        public: images that are no client's.
        indices: which of them.
    """
    images, labels = public.batch(indices)
    device = next(model.parameters()).device
    loss = F.cross_entropy(model(images.to(device)), labels.to(device))
    named = {k: p for k, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()))
    shape = tuple(images.shape[1:])
    return Observation(dict(zip(named, gradients, strict=True)), shape, len(indices))
