"""Search for label sequences: the labels of a client's local steps, in order.

After several local steps the probabilities that `fedsim.attacks.labels.infer.infer_labels` relies
on have drifted, and the order of the labels matters. Labels and order can be read off the update of
the classification layer. If the pictures of a step have similar features, as in an untrained
network, step t adds a matrix of rank one to the sum of that layer's gradients,
``(p_t - y_t) h_t^T``, with the probabilities p, the mean one-hot label y and the layer's input
features h. The residual after the first t steps must then be a sum of as many matrices of rank one
as there are steps left, and a wrong label is visible at once in the singular values beyond this
rank. We know of no source for this.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.proxies import (
    ProxyClients,
    drifted_labels,
    head_of,
    proxy_pictures,
    share_out,
)
from fedsim.attacks.labels.ranks import RankJudge
from fedsim.attacks.labels.simulated import is_one_pass, simulated_labels
from fedsim.attacks.local_optimisers import State, decayed
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError

CANDIDATES = 8

# Bounds of the work: the sequences kept after each step, if all continuations are tried and
# if there are too many; the total size of their weights; the continuations tried for each
# sequence; the classes whose rows are used.
WIDTH, CLIMBING_WIDTH = 128, 16
WEIGHTS = 50_000_000
CONTINUATIONS = 500
CLASSES = 16

# Factors on a learning rate that is not exact.
_RATE_SCALES = (0.5, 2**-0.5, 1.0, 2**0.5, 2.0)


def search_labels(model: nn.Module, observation: Observation) -> Tensor:
    """Find the labels of a client's local steps, in order, by a beam search.

    A beam search: after each step those sequences are kept whose unexplained residual is closest to
    the rank that it must have. Each sequence moves weights of its own, by real local steps on
    plain grey pictures, which are proxy data for the private ones. At last all of the update is
    compared with what these pictures would have given. Where a step has too many continuations
    to try them all, the best is approached by changing one label at a time.

    Later passes over the same examples are assumed to have the order of the first.

    Args:
        model: the global model, in the client's mode.
        observation: with its ``training``. Labels, where known, are taken as a multiset: the
            search finds their order. A learning rate that is not exact is tried at half to twice
            its value.

    Returns:
        ``(candidates, batch_size)``, the likeliest sequence first, at most `CANDIDATES`; labels of
        the same step are in ascending order. Where the rank says nothing, since there are too
        many steps for so few classes or too many different labels, it is one candidate: the known
        labels as they are, else `drifted_labels`.

    Raises:
        AttackError: labels are unknown, and there is no dense last layer with a bias.
    """
    training = observation.training
    if training is not None and not training.optimiser.is_linear:
        if observation.labels is not None and not is_one_pass(training, observation.batch_size):
            return observation.labels[None]
        return simulated_labels(model, observation)
    search = _Search.of(model, observation)
    if search is None:
        known = observation.labels
        return (drifted_labels(model, observation) if known is None else known)[None]
    found: dict[tuple[int, ...], float] = {}
    for pictures in proxy_pictures(model, observation.input_shape):
        for rate_scale in (1.0,) if search.training.exact else _RATE_SCALES:
            labels, costs = search.run(pictures, rate_scale)
            for row, cost in zip(labels.tolist(), costs.tolist(), strict=True):
                found[tuple(row)] = min(cost, found.get(tuple(row), math.inf))
    best = sorted(found, key=lambda row: (found[row], row))[:CANDIDATES]
    return torch.tensor(best)


@dataclass(frozen=True, eq=False)
class _Beam:
    """B candidate sequences after the same number of steps.

    Attributes:
        weights: the client's weights by now, each ``(B, ...)``.
        state: state of the client's optimiser by now.
        residual: what is unexplained of the classification layer's gradient, ``(B, L, D)``.
        left: how often each class may still come, ``(B, L)``.
        labels: of the examples, ``(B, N)`` as places among the L classes; -1 if still to come.
    """

    weights: dict[str, Tensor]
    state: State
    residual: Tensor
    left: Tensor
    labels: Tensor

    def __getitem__(self, chosen: Tensor) -> _Beam:
        weights = {k: w[chosen.to(w.device)] for k, w in self.weights.items()}
        state = {
            name: {k: m[chosen.to(m.device)] for k, m in moments.items()}
            for name, moments in self.state.items()
        }
        residual, left = self.residual[chosen], self.left[chosen]
        return _Beam(weights, state, residual, left, self.labels[chosen])


@dataclass(frozen=True, eq=False)
class _Search:
    """Label search for one observation. Small tensors stay on the CPU.

    Attributes:
        model: the global model.
        head: name of the classification layer's weight.
        training: the client's local training.
        gradient: the shared gradient.
        classes: the rows of the classification layer that are used, ``(L,)``.
        left: maximum count of each of these classes, ``(L,)``.
        examples: number of different examples, N.
    """

    model: nn.Module
    head: str
    training: LocalTraining
    gradient: Mapping[str, Tensor]
    classes: Tensor
    left: Tensor
    examples: int

    @classmethod
    def of(cls, model: nn.Module, observation: Observation) -> _Search | None:
        """Return the search, or None if the rank is not informative."""
        training, count = observation.training, observation.batch_size
        try:
            head = head_of(model)
        except AttackError:
            return None
        if training is None or not training.optimiser.is_linear:
            return None
        gradient = {k: observation.gradient[k].to(w) for k, w in parameters(model).items()}
        sizes = gradient[head].norm(dim=1).cpu()
        left = torch.full((len(sizes),), count)
        if observation.labels is not None:
            left = torch.bincount(observation.labels.cpu(), minlength=len(sizes))
        # An absent and improbable class has a row of zeros, which holds no information.
        order = (sizes + (left > 0) * sizes.sum()).argsort(descending=True, stable=True)
        classes = order[:CLASSES].sort().values
        search = cls(model, head, training, gradient, classes, left[classes], count)
        distinct = min(count, int((left > 0).sum()))
        return search if distinct <= len(classes) and search._tells(len(sizes)) else None

    def _tells(self, classes: int) -> bool:
        # The rows of all classes sum to zero. While the later steps can fill any rank, there is no
        # evidence for any label: all of them must be kept.
        rank = min(len(self.classes), classes - 1)
        untold = max(0, self.training.steps - rank)
        return untold == 0 or self._ways(self.training.batch_size) ** untold <= WIDTH

    def _ways(self, new: int) -> int:
        """Return the number of ways to label ``new`` examples."""
        return math.comb(int((self.left > 0).sum()) + new - 1, new)

    def run(self, pictures: Tensor, rate_scale: float) -> tuple[Tensor, Tensor]:
        """Return sequences ``(B, N)``, and how badly each explains the update, ``(B,)``."""
        start, training = parameters(self.model), self.training
        rate = training.learning_rate * rate_scale
        client = ProxyClients(
            self.model, self.head, pictures, rate, training.optimiser, training.factors
        )
        whole = 1 / (training.unit * rate)
        total = {k: g * whole for k, g in self.gradient.items()}
        beam = _Beam(
            {k: w[None] for k, w in start.items()},
            State(),
            total[self.head][None, self.classes].cpu(),
            self.left[None],
            torch.full((1, self.examples), -1),
        )
        sizes = training.sizes(self.examples)
        order = torch.arange(sum(sizes)) % self.examples
        for done, examples in enumerate(torch.split(order, sizes), start=1):
            beam = self._advance(beam, client, examples, done)
        moved = {k: (start[k] - w) / rate for k, w in beam.weights.items()}
        moved = decayed(moved, start, -whole * training.optimiser.constant_decay)
        costs = [((moved[k] - g) ** 2).flatten(1).sum(1) for k, g in total.items()]
        scale = torch.stack([(g**2).sum() for g in total.values()]).sum()
        return self.classes[beam.labels], (torch.stack(costs).sum(0) / scale).cpu()

    def _advance(self, beam: _Beam, client: ProxyClients, examples: Tensor, number: int) -> _Beam:
        """Take one local step in every way that is likely."""
        training = self.training
        influence = training.optimiser.influences(training.rates)[number - 1]
        influence /= training.learning_rate
        new = examples[beam.labels[0, examples] < 0]
        old = examples[beam.labels[0, examples] >= 0]
        again = F.one_hot(beam.labels[:, old], len(self.classes)).sum(1)
        probabilities, features = client.look(beam.weights)
        judge = RankJudge(
            beam.residual,
            beam.left,
            probabilities[:, self.classes],
            influence * features,
            again,
            training.steps - number,
            len(new),
        )
        numbers = sum(w.numel() for w in parameters(self.model).values())
        if self._ways(len(new)) <= CONTINUATIONS:
            counts, width = self._all_ways(len(new)).expand(len(beam.residual), -1, -1), WIDTH
        else:
            counts, width = judge.climb(share_out(beam.left, len(new))), CLIMBING_WIDTH
        parents, counts = judge.best(counts, min(width, max(1, WEIGHTS // numbers)))
        kept, again = beam[parents], again[parents]
        targets = probabilities.new_zeros((len(parents), probabilities.shape[1]))
        targets[:, self.classes] = ((again + counts) / len(examples)).to(targets)
        weights, gradients, state = client.step(kept.weights, targets, kept.state, number)
        labels = kept.labels.clone()
        labels[:, new] = _in_order(counts)
        residual = kept.residual - influence * gradients[self.head][:, self.classes].cpu()
        return _Beam(weights, state, residual, kept.left - counts, labels)

    def _all_ways(self, new: int) -> Tensor:
        """Return the counts of the classes, for every way to label examples: ``(M, L)``."""
        possible = (self.left > 0).nonzero().flatten().tolist()
        ways = list(itertools.combinations_with_replacement(possible, new))
        picked = torch.tensor(ways, dtype=torch.long).view(len(ways), new)
        return F.one_hot(picked, len(self.classes)).sum(1)


def _in_order(counts: Tensor) -> Tensor:
    """Return the labels with counts ``(B, L)`` in ascending order, ``(B, sum)``."""
    sequences, classes = counts.shape
    places = torch.arange(classes).repeat(sequences)
    return torch.repeat_interleave(places, counts.flatten()).view(sequences, int(counts[0].sum()))
