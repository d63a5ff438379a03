"""Positive control: an attack on public data, which shows whether the attack works."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.attacks import Assumptions, Attack, Observation, mean_cross_entropy
from fedsim.attacks.batch_norm import uploaded_statistics
from fedsim.attacks.labels.known import target_rows
from fedsim.core.modules import without_dropout
from fedsim.core.names import ADAPTIVE
from fedsim.core.seeds import derive
from fedsim.data import Examples, IndexArray, draw_batch
from fedsim.models import cross_entropy
from fedsim.server.victims import Victim

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
    model: nn.Module,
    public: Examples,
    indices: IndexArray,
    *,
    reads_statistics: bool = False,
    assumed: Assumptions | None = None,
) -> Observation:
    """Return the undefended single-step gradient of public examples at the global model.

    If the attack cannot reconstruct these, its failure on the clients' data is not evidence for
    their defenses. Dropout does not draw in it: what it would draw is unknown to the attack.

    Args:
        model: the global model in the clients' mode. Not modified: it is the one that is
            attacked, and its BatchNorm buffers must not see the control's examples.
        public: examples that no client holds.
        indices: indices of the examples to use.
        reads_statistics: whether the server also reads the batch's BatchNorm statistics from the
            buffers of an upload.
        assumed: the clients' loss and normalisation; by default the mean cross-entropy and none.
    """
    assumed = assumed or Assumptions()
    before, model = model.state_dict(), without_dropout(copy.deepcopy(model))
    inputs, labels = public.batch(indices)
    device = next(model.parameters()).device
    shape = tuple(inputs.shape[1:])
    entered = inputs.to(device)
    if assumed.normalisation is not None:
        entered = assumed.scale(shape).on(entered).to_input(entered)
    loss = _loss(assumed, model(entered), labels.to(device))
    named = {k: p for k, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()))
    gradient = dict(zip(named, gradients, strict=True))
    lengths = tuple(public.lengths([inputs])) if public.ragged else None
    statistics = None
    if reads_statistics:
        statistics = uploaded_statistics(
            model, before, model.state_dict(), input_shape=shape, batch_size=len(indices)
        )
    return Observation(
        gradient,
        shape,
        len(indices),
        lengths=lengths,
        statistics=statistics,
        loss=assumed.loss,
        normalisation=assumed.normalisation,
    )


def adaptive_control(control: Victim, victims: Sequence[Victim], attack: Attack) -> list[Victim]:
    """Return the control of a round's adaptive attackers, if theirs is another attack.

    Texts are read by one attack, and behind a defense by another one: only the same attack on an
    undefended batch shows whether that one works. One that is adapted by its objective and priors
    alone has the naive attacker's control.

    Args:
        control: the naive attacker's control.
        victims: the victims of the round.
        attack: the naive attack.
    """
    if not any(v.attacker == ADAPTIVE and v.observation is not None for v in victims):
        return []
    other = attack.against_defenses()
    if other is None or other == attack:
        return []
    return [replace(control, attacker=ADAPTIVE, attack=other)]


def _loss(assumed: Assumptions, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a batch with its labels: classes, or targets of the loss."""
    if assumed.loss is mean_cross_entropy:
        return cross_entropy(outputs, labels)
    return assumed.loss(outputs, target_rows(labels, outputs.shape[-1], outputs))
