"""Repetitions of a client's training that differ in the last digit of its inputs.

Bent activations, momentum and large steps amplify rounding from step to step. An upload of such a
training depends on the order in which a processor adds numbers, and no equations explain it to the
last digit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from fedsim.attacks import LocalTraining, Observation
from fedsim.attacks.assumptions import Loss
from fedsim.attacks.functional import count_classes, parameters
from fedsim.attacks.labels.known import target_rows
from fedsim.clients.defenses import Computed
from fedsim.clients.training import Batch, local_training
from fedsim.engine.audit.evidence import Evidence
from fedsim.scenario import Federation

REPLAYS = 6


def computing(loss: Loss, outputs: int) -> Callable[[nn.Module, Batch], Computed]:
    """Return the function that computes the gradient of a client's step.

    Args:
        loss: the client's loss, of outputs and rows of targets.
        outputs: size of the model's output.
    """

    def compute(model: nn.Module, batch: Batch) -> Computed:
        found = model(batch[0])
        value = loss(found, target_rows(batch[1], outputs, found))
        named = {k: p for k, p in model.named_parameters() if p.requires_grad}
        gradients = torch.autograd.grad(value, list(named.values()))
        return Computed(dict(zip(named, gradients, strict=True)), float(value.detach()))

    return compute


def replayed_misfits(evidence: Evidence, federation: Federation) -> list[float]:
    """Return the misfits of the private data to repetitions of the training as it was stated.

    Each of them is the upload of an honest client, in the model's precision, whose inputs differ
    from the private data by a rounding error. No global random state is changed.

    Args:
        evidence: the private data, model and upload of a client.
        federation: the clients' training as stated.

    Returns:
        One relative objective for each repetition; none after a single step, or if steps use
        examples again, in an order that is unknown.
    """
    training = evidence.observation.training
    if training is None or training.reuses(len(evidence.inputs)):
        return []
    generator = torch.Generator().manual_seed(0)
    uploads = (_upload(evidence, federation, training, generator) for _ in range(REPLAYS))
    return [evidence.with_gradient(upload.gradient).misfit() for upload in uploads]


def _upload(
    evidence: Evidence,
    federation: Federation,
    training: LocalTraining,
    generator: torch.Generator,
) -> Observation:
    """Return the observation of one repetition."""
    model, seen = copy.deepcopy(evidence.model), evidence.observation
    like = next(model.parameters())
    entered = evidence.seen_as_inputs().to(like)
    signs = torch.randint(0, 2, entered.shape, generator=generator).to(entered) * 2 - 1
    moved = entered * (1 + torch.finfo(entered.dtype).eps * signs)
    outputs, sizes = count_classes(model, seen.input_shape), training.sizes(len(moved))
    steps = torch.split(torch.arange(sum(sizes)) % len(moved), sizes)
    labels = evidence.labels.to(like.device)
    local_training(
        model,
        [(moved[step], labels[step]) for step in steps],
        training.learning_rate,
        computing(seen.loss, outputs),
        optimizer=federation.optimizer,
        factors=training.factors or (),
        proximal_mu=training.proximal_mu,
        max_grad_norm=training.max_norm,
    )
    return Observation.from_training(
        parameters(evidence.model),
        parameters(model),
        training,
        input_shape=seen.input_shape,
        examples=len(moved),
    )
