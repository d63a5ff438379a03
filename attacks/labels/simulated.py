"""Labels of local steps by simulation: those whose training of proxy data moves weights alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.proxies import ProxyClients, head_of, proxy_pictures
from fedsim.attacks.local_optimisers import State
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError

STARTS = 4
"""Random sequences from which the search climbs, beside the known labels, if any."""

MOST_STEPS = 8
"""Largest number of steps for which the labels of each are searched."""


def simulated_labels(model: nn.Module, observation: Observation) -> Tensor:
    """Find the labels of each local step of one pass by climbing from random ones.

    For optimisers such as Adam, whose update is not a sum of gradients. The client's optimiser is
    simulated on plain grey pictures, with the mean label of each step, and one label at a time is
    changed, or two are exchanged if they are known, so that the change of the last two weights
    comes closest to the observed one. An adaptive optimiser divides each entry by its own size: a
    row of the classification layer then tells in which step its class is and hardly how often. The
    weight before it, whose gradient is a sum over the classes, tells that. The distance is a sum of
    mean absolute differences: where a gradient nearly vanishes, such an optimiser takes a whole
    step in a direction that no proxy can tell, and the squares of these entries would outweigh all
    others. That labels are found by simulated statistics is the idea of
    Geng et al. 2021 (arXiv 2110.09074) and Dimitrov et al. 2022 (arXiv 2206.12395); they
    interpolate the statistics of SGD between the received and the sent weights.

    Args:
        model: the global model, in the client's mode.
        observation: with its ``training``; labels, where known, are taken as a multiset.

    Returns:
        ``(candidates, batch_size)`` by increasing distance; those of a step in ascending order.

    Raises:
        AttackError: there is no dense last layer, or the client took more steps than one pass has,
            or too many of them.
    """
    training, known = observation.training, observation.labels
    sizes = [] if training is None else training.sizes(observation.batch_size)
    if training is None or not is_one_pass(training, observation.batch_size):
        raise AttackError(
            f"labels of {len(sizes)} steps of an adaptive optimiser cannot be found: expected one "
            f"pass of at most {MOST_STEPS} steps; give the labels or use an attack that optimises "
            "them"
        )
    search = _Climb(model, observation, training, sizes)
    generator = torch.Generator().manual_seed(0)
    found: dict[tuple[int, ...], float] = {}
    for _ in range(STARTS):
        if known is None:
            start = torch.randint(search.classes, (sum(sizes),), generator=generator)
        else:
            start = known.cpu()[torch.randperm(len(known), generator=generator)]
        labels, distance = search.climb(start, exchange=known is not None)
        found[tuple(labels.tolist())] = distance
    return torch.tensor(sorted(found, key=lambda row: (found[row], row)))


def is_one_pass(training: LocalTraining, examples: int) -> bool:
    """Return whether a local training is one pass over its examples, in few enough steps."""
    return sum(training.sizes(examples)) == examples and training.steps <= MOST_STEPS


class _Climb:
    """Climbing in the labels of one client's steps.

    Args:
        model: the global model.
        observation: the upload.
        training: its local training.
        sizes: number of examples in each step.
    """

    def __init__(
        self, model: nn.Module, observation: Observation, training: LocalTraining, sizes: list[int]
    ) -> None:
        head = head_of(model)
        self._training, self._sizes, self._start = training, sizes, parameters(model)
        pictures = torch.cat(proxy_pictures(model, observation.input_shape))
        rate, optimiser = training.learning_rate, training.optimiser
        self._client = ProxyClients(model, head, pictures, rate, optimiser, training.factors)
        self._seen = {k: observation.gradient[k] for k in _last_weights(self._start, head)}
        self.classes = len(self._seen[head])

    def climb(self, labels: Tensor, *, exchange: bool) -> tuple[Tensor, float]:
        """Return the labels ``(N,)`` at the end of the climb, and their distance."""
        labels = self._sorted(labels)
        distance = float(self._distances(labels[None])[0])
        while True:
            near = self._exchanged(labels) if exchange else self._changed(labels)
            if not len(near):
                return labels, distance
            values = self._distances(near)
            best = int(values.argmin())
            if float(values[best]) >= distance:
                return labels, distance
            labels, distance = self._sorted(near[best]), float(values[best])

    def _sorted(self, labels: Tensor) -> Tensor:
        return torch.cat([step.sort().values for step in torch.split(labels, self._sizes)])

    def _changed(self, labels: Tensor) -> Tensor:
        """Return all label sequences ``(B, N)`` with one other label."""
        count = len(labels)
        near = labels.repeat(count, self.classes, 1)
        rows = torch.arange(count)
        near[rows, :, rows] = torch.arange(self.classes).expand(count, -1)
        near = near.flatten(0, 1)
        return near[(near != labels).any(1)]

    def _exchanged(self, labels: Tensor) -> Tensor:
        """Return all label sequences ``(B, N)`` with two labels exchanged."""
        one, other = torch.triu_indices(len(labels), len(labels), offset=1)
        near = labels.repeat(len(one), 1)
        rows = torch.arange(len(one))
        near[rows, one], near[rows, other] = labels[other], labels[one]
        return near[(near != labels).any(1)]

    def _distances(self, labels: Tensor) -> Tensor:
        """Return the distances of the simulated changes of weights from the seen ones, ``(B,)``."""
        rows = nn.functional.one_hot(labels, self.classes).to(next(iter(self._seen.values())))
        weights = {k: w.expand(len(labels), *w.shape) for k, w in self._start.items()}
        state: State = {}
        for number, step in enumerate(torch.split(rows, self._sizes, dim=1), start=1):
            weights, _, state = self._client.step(weights, step.mean(1), state, number)
        decay, unit = self._training.optimiser.constant_decay, self._training.unit
        distance = rows.new_zeros(len(labels))
        for k, seen in self._seen.items():
            moved = (self._start[k] - weights[k]) * unit - decay * self._start[k]
            distance = distance + (moved - seen).abs().flatten(1).mean(1)
        return distance.cpu()


def _last_weights(weights: Mapping[str, Tensor], head: str) -> list[str]:
    """Return the names of the classification layer's weight and of the weight before it, if any."""
    names = list(weights)
    before = [k for k in names[: names.index(head)] if weights[k].ndim > 1]
    return [*before[-1:], head]
