"""Local steps on proxy data: their effect on the weights, for many clients at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn
from torch.func import vmap

from fedsim.attacks.functional import as_function, parameters
from fedsim.attacks.labels.infer import classifier
from fedsim.attacks.local_optimisers import SGD, LocalOptimiser, State
from fedsim.attacks.types import Observation
from fedsim.core.derivatives import grad
from fedsim.core.errors import AttackError
from fedsim.core.modules import normalises_by_batch

# Clients simulated at once, which bounds the memory in addition to their weights.
CHUNK = 16

_ROUNDS = 8


class ProxyClients:
    """The local steps of many clients on the same proxy pictures, each with labels of its own.

    Args:
        model: the global model, in the clients' mode.
        head: name of the classification layer's weight.
        pictures: ``(n, *input_shape)``; each has the mean label of the step.
        learning_rate: learning rate of the optimiser.
        optimiser: the clients' optimiser.
        factors: factor on the learning rate in each step; None for 1.
    """

    def __init__(
        self,
        model: nn.Module,
        head: str,
        pictures: Tensor,
        learning_rate: float,
        optimiser: LocalOptimiser = SGD(),  # noqa: B008  (frozen)
        factors: Sequence[float] | None = None,
    ) -> None:
        self._forward, self._head, self._pictures = as_function(model), head, pictures
        self._rate, self._optimiser, self._factors = learning_rate, optimiser, factors
        self._look = vmap(self._look_at_one, chunk_size=CHUNK)
        self._gradients = vmap(grad(self._loss), chunk_size=CHUNK)

    def look(self, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the mean outputs and features of the clients' networks, of weights ``(B, ...)``.

        Returns:
            The probabilities ``(B, classes)`` and the inputs of the classification layer
            ``(B, D)``.
        """
        probabilities, features = self._look(dict(weights))
        return probabilities, features

    def step(
        self, weights: Mapping[str, Tensor], targets: Tensor, state: State, number: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], State]:
        """Return the weights after a step on targets ``(B, classes)``, its gradients and the state.

        Args:
            weights: the clients' weights before the step.
            targets: the mean label of the step for each client.
            state: state of the optimisers after the step before.
            number: number of the step, from 1.
        """
        gradients: dict[str, Tensor] = self._gradients(dict(weights), targets)
        direction, state = self._optimiser.direction(weights, gradients, state, number)
        rate = self._rate * (self._factors[number - 1] if self._factors else 1.0)
        return {k: w - rate * direction[k] for k, w in weights.items()}, gradients, state

    def _loss(self, weights: Mapping[str, Tensor], target: Tensor) -> Tensor:
        logits = self._forward(weights, self._pictures)
        return -(target * F.log_softmax(logits, dim=-1)).sum(-1).mean()

    def _look_at_one(self, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        def first_logit(head: Tensor) -> tuple[Tensor, Tensor]:
            logits = self._forward({**weights, self._head: head}, self._pictures)
            return logits[:, 0].mean(), torch.softmax(logits, dim=-1).mean(0)

        # A logit's gradient with respect to its row of weights is that layer's input.
        rows, probabilities = grad(first_logit, has_aux=True)(weights[self._head])
        return probabilities, rows[0]


def proxy_pictures(model: nn.Module, input_shape: tuple[int, ...]) -> list[Tensor]:
    """Return batches of proxy pictures ``(n, *input_shape)``: plain grey of three shades.

    A BatchNorm layer that normalises by the batch erases plain pictures: for models that have one
    there is one batch, of noise.
    """
    like = next(model.parameters())
    if normalises_by_batch(model):
        noise = torch.rand((4, *input_shape), generator=torch.Generator().manual_seed(0))
        return [noise.to(like)]
    return [torch.full((1, *input_shape), grey).to(like) for grey in (0.25, 0.5, 0.75)]


def head_of(model: nn.Module) -> str:
    """Return the name of the classification layer's weight.

    Raises:
        AttackError: there is no dense layer, or its weight is not trained.
    """
    name = f"{classifier(model)[0]}.weight"
    if name not in parameters(model):
        raise AttackError(f"the weight of the classification layer, {name!r}, is frozen")
    return name


def drifted_labels(model: nn.Module, observation: Observation) -> Tensor:
    """Estimate the label counts of an update of several steps, without their order.

    Like `fedsim.attacks.labels.infer.infer_labels`, this uses that the bias's gradient is the mean
    probability minus the share of each class. Here the mean is over the steps, along the path of
    the weights on grey pictures if each step has the same shares of labels; shares and path are
    found alternately. The estimate fails if the learning rate is so large that the probabilities
    jump from step to step.

    Args:
        model: the global model, in the client's mode.
        observation: an observation with its ``training``.

    Returns:
        Labels ``(batch_size,)``, each class spread evenly over the steps.

    Raises:
        AttackError: there is no dense last layer with a trained weight and bias, or the optimiser
            is not linear.
    """
    training, head = observation.training, head_of(model)
    name = f"{head.removesuffix('.weight')}.bias"
    bias = observation.gradient.get(name)
    if training is None or bias is None:
        raise AttackError(
            f"label counts of several local steps need the gradient of {name!r}, which is "
            "missing; give the labels or use an attack that optimises them"
        )
    if not training.optimiser.is_linear:
        raise AttackError(
            "labels cannot be read off an update of Adam, which is not a sum of gradients; give "
            "the labels or use an attack that optimises them"
        )
    pictures = proxy_pictures(model, observation.input_shape)
    middle, optimiser = pictures[len(pictures) // 2], training.optimiser
    client = ProxyClients(model, head, middle, training.learning_rate, optimiser, training.factors)
    influences = [training.unit * i for i in optimiser.influences(training.rates)]
    start = {k: w[None] for k, w in parameters(model).items()}
    bias = bias.to(start[head])

    def shares_seen(shares: Tensor) -> Tensor:
        weights, seen, state = start, torch.zeros_like(bias), State()
        for number, influence in enumerate(influences, start=1):
            seen = seen + influence * client.look(weights)[0][0]
            weights, _, state = client.step(weights, shares[None], state, number)
        return seen - bias

    shares = _fixed_point(shares_seen, torch.full_like(bias, 1 / len(bias)))
    counts = share_out(shares.clamp(min=0)[None].cpu(), observation.batch_size)[0]
    return spread_evenly(counts)


def _fixed_point(function: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Return the fixed point of a function of shares, by Anderson's mixing over all rounds.

    The plain iteration converges slowly: the longer a client trains, the closer its mean
    probabilities come to any assumed shares.
    """
    points, images = [start], [function(start)]
    for _ in range(_ROUNDS):
        last = images[-1]
        if len(points) > 1:
            gaps = torch.stack([y - x for x, y in zip(points, images, strict=True)])
            steps = torch.stack(images)
            mixing = torch.linalg.pinv((gaps[1:] - gaps[:-1]).T, rtol=1e-4) @ gaps[-1]
            last = last - (steps[1:] - steps[:-1]).T @ mixing
        points.append(last.clamp(0, 1))
        images.append(function(points[-1]))
    gaps = torch.stack([(y - x).norm() for x, y in zip(points, images, strict=True)])
    return points[int(gaps.argmin())]


def share_out(weights: Tensor, count: int) -> Tensor:
    """Return whole numbers ``(B, L)`` that sum to ``count``, in proportion to weights."""
    exact = count * weights / weights.sum(1, keepdim=True)
    whole = exact.floor()
    missing = count - whole.sum(1, keepdim=True)
    rank = (whole - exact).argsort(dim=1, stable=True).argsort(dim=1)
    return (whole + (rank < missing)).long()


def spread_evenly(counts: Tensor) -> Tensor:
    """Return labels with ``counts`` ``(L,)`` of each class, equal labels far apart."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), counts)
    before = torch.cumsum(counts, 0) - counts
    place = torch.arange(len(labels)) - before[labels]
    return labels[((place + 0.5) / counts[labels]).argsort(stable=True)]
