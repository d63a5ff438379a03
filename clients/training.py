"""Local training of an honest client, before any defense."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedsim.clients.defenses import BatchLoss, Computed
from fedsim.core.randomness import global_randomness
from fedsim.models import cross_entropy
from fedsim.scenario.optimizers import Optimizer, Sgd

Batch = tuple[Tensor, Tensor]
"""Images ``(N, C, H, W)`` and labels ``(N,)`` or probabilities ``(N, classes)``; or tokens
``(N, L)`` and labels ``(N,)`` or ``(N, L)``."""

Compute = Callable[[nn.Module, Batch], Computed]
"""Returns the gradient of a step's batch."""


@dataclass(frozen=True)
class Trained:
    """Result of local training.

    Attributes:
        arrays: the upload by name; a gradient also includes buffers (BatchNorm's running
            statistics), as values and not as gradients, and excludes frozen parameters.
        loss: mean loss over the batches, before each step.
    """

    arrays: dict[str, Tensor]
    loss: float


def differentiate(model: nn.Module, batch: Batch, loss: BatchLoss = cross_entropy) -> Computed:
    """Return the gradient of the loss of one batch.

    Args:
        model: the model, whose mode (train or eval) affects BatchNorm and dropout.
        batch: inputs and labels.
        loss: of the outputs and the labels; by default the mean cross-entropy.
    """
    inputs, labels = batch
    value = loss(model(inputs), labels)
    named = {k: p for k, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(value, list(named.values()))
    return Computed(dict(zip(named, gradients, strict=True)), float(value.detach()))


def gradient(model: nn.Module, batch: Batch, compute: Compute = differentiate) -> Trained:
    """Return the gradient of one batch (FedSGD).

    Args:
        model: the model with the global weights.
        batch: inputs and labels.
        compute: computes the gradient; a defense may replace it.
    """
    computed = compute(model, batch)
    parameters = {k for k, _ in model.named_parameters()}
    buffers = {k: b.clone() for k, b in model.state_dict().items() if k not in parameters}
    return Trained({**computed.gradients, **buffers}, computed.loss)


def local_training(
    model: nn.Module,
    batches: Sequence[Batch],
    learning_rate: float,
    compute: Compute = differentiate,
    *,
    optimizer: Optimizer = Sgd(),  # noqa: B008  (frozen)
    factors: Sequence[float] = (),
    proximal_mu: float = 0.0,
    max_grad_norm: float | None = None,
) -> Trained:
    """Return the weights after one step of the optimiser per batch (FedAvg).

    Args:
        model: the model with the global weights; modified.
        batches: one ``(inputs, labels)`` for each local step.
        learning_rate: learning rate of the optimiser.
        compute: computes the gradient of a step; a defense may replace it.
        optimizer: by default plain SGD, without momentum or weight decay.
        factors: factor on the learning rate in each step, as schedules set it; 1 if empty.
        proximal_mu: weight of the squared distance from the global weights, times a half, in the
            loss (FedProx; Li et al., MLSys 2020, arXiv 1812.06127).
        max_grad_norm: L2 norm to which the gradient of a step is clipped, by
            ``torch.nn.utils.clip_grad_norm_``; None for no clipping.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    kind = getattr(torch.optim, optimizer.class_name)
    steps = kind(trained, lr=learning_rate, **optimizer.arguments)
    losses = []
    parameters = dict(model.named_parameters())
    received = {k: p.detach().clone() for k, p in parameters.items()} if proximal_mu else {}
    for batch, factor in zip(batches, factors or [1.0] * len(batches), strict=True):
        computed = compute(model, batch)
        for name, gradient_ in computed.gradients.items():
            own = parameters[name]
            own.grad = gradient_
            if proximal_mu:
                own.grad = gradient_ + proximal_mu * (own.detach() - received[name])
        if max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(trained, max_grad_norm)
        for group in steps.param_groups:
            group["lr"] = learning_rate * factor
        steps.step()
        losses.append(computed.loss)
    arrays = {k: v.detach().clone() for k, v in model.state_dict().items()}
    return Trained(arrays, sum(losses) / len(losses))


@contextlib.contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Context in which dropout draws from a generator; the global random state is left alone.

    Args:
        generator: source of the draws, which PyTorch takes from its global state.
    """
    with global_randomness(generator.initial_seed()):
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that every engine adds numbers in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
