"""Label sequences: which labels the local steps of a client took, and in which order.

After several local steps the mean probabilities that `attacks.labels.infer_labels` relies on have
drifted away, and the order of the labels matters. Both can be read off the update of the
classification layer. If the pictures of a step look alike to the network, as they do to an
untrained one, step t adds a matrix of rank one to the sum of that layer's gradients,
``(p_t - y_t) h_t^T``, with p the probabilities, y the mean one-hot label and h the features in
front of the layer. What the first t steps leave unexplained must then be a sum of as many
matrices of rank one as steps are left, and a wrong label shows at once in the singular values
beyond. We know of no source for this.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn
from torch.func import grad, vmap

from attacks.functional import as_function, parameters
from attacks.labels import classifier
from attacks.types import LocalTraining, Observation
from fedsim.errors import AttackError

GUESSES = 8

# What bounds the work: the sequences kept after each step, the numbers in their weights taken
# together, the continuations of each that are enumerated, and the classes that are looked at.
WIDTH = 128
WEIGHTS = 50_000_000
CONTINUATIONS = 500
CLASSES = 16

_GREYS = (0.25, 0.5, 0.75)
_STRETCHES = (0.5, 2**-0.5, 1.0, 2**0.5, 2.0)


def search_labels(model: nn.Module, observation: Observation) -> Tensor | None:
    """Find the labels that a client's local steps took, in the order in which they took them.

    A beam search: after each step those sequences are kept whose unexplained rest is closest to
    the rank that it must have. Each sequence moves weights of its own, by real local steps on
    plain grey pictures, which stand in for the private ones. At last all of the update is
    compared with what these pictures would have given. Where a step has too many continuations
    to enumerate, the best is approached by changing one label at a time.

    Args:
        model: the global model, in the client's mode.
        observation: with its ``training``. Labels, where known, are taken as a multiset: the
            search finds their order. A learning rate that is a guess is tried at half to twice
            its value.

    Returns:
        ``(guesses, batch_size)``, the likeliest sequence first, at most `GUESSES`; None where
        the update does not tell: too many steps for so few classes, too many different labels,
        or no dense last layer. Labels that come in the same step are in ascending order.
    """
    search = _Search.of(model, observation)
    if search is None:
        return None
    found: dict[tuple[int, ...], float] = {}
    for picture in _stand_ins(model, observation.input_shape):
        for stretch in (1.0,) if search.training.exact else _STRETCHES:
            labels, costs = search.run(picture, stretch)
            for row, cost in zip(labels.tolist(), costs.tolist(), strict=True):
                found[tuple(row)] = min(cost, found.get(tuple(row), math.inf))
    best = sorted(found, key=lambda row: (found[row], row))[:GUESSES]
    return torch.tensor(best)


@dataclass(frozen=True)
class _Beam:
    """Sequences that have taken the same number of steps; B of them.

    Attributes:
        weights: the client's weights by now, each ``(B, ...)``.
        rest: what is unexplained of the classification layer's gradient, ``(B, L, D)``.
        left: how often each class may still come, ``(B, L)``.
        labels: of the examples, ``(B, N)`` as places among the L classes; -1 if still to come.
    """

    weights: dict[str, Tensor]
    rest: Tensor
    left: Tensor
    labels: Tensor

    def __getitem__(self, chosen: Tensor) -> _Beam:
        weights = {k: w[chosen] for k, w in self.weights.items()}
        return _Beam(weights, self.rest[chosen], self.left[chosen], self.labels[chosen])


@dataclass(frozen=True)
class _Search:
    """The search for one observation.

    Attributes:
        model: the global model.
        training: of the client.
        head: name of the classification layer's weight.
        gradient: the shared one.
        classes: the rows of the classification layer that are looked at, ``(L,)``.
        left: how often each of these classes may come, ``(L,)``.
        examples: the number of different examples, N.
    """

    model: nn.Module
    training: LocalTraining
    head: str
    gradient: Mapping[str, Tensor]
    classes: Tensor
    left: Tensor
    examples: int

    @classmethod
    def of(cls, model: nn.Module, observation: Observation) -> _Search | None:
        """Return the search, or None if it would be in vain."""
        training, count, start = observation.training, observation.batch_size, parameters(model)
        try:
            head = f"{classifier(model)[0]}.weight"
        except AttackError:
            return None
        if training is None or head not in start:
            return None
        gradient = {k: observation.gradient[k].to(p) for k, p in start.items()}
        sizes = gradient[head].norm(dim=1)
        left = torch.full_like(sizes, count, dtype=torch.long)
        if observation.labels is not None:
            left = torch.bincount(observation.labels.to(left.device), minlength=len(left))
        # A class that neither comes nor is likely has a row of zeros, and says nothing.
        order = (sizes + (left > 0) * sizes.sum()).argsort(descending=True, stable=True)
        classes = order[:CLASSES].sort().values
        search = cls(model, training, head, gradient, classes, left[classes], count)
        return search if search._decidable(len(sizes)) else None

    def _decidable(self, classes: int) -> bool:
        if classes > CLASSES and min(self.examples, int((self.left > 0).sum())) > CLASSES:
            return False
        # Rows of all classes sum to zero. As long as the steps to come could fill any rank,
        # nothing speaks for one label or another, and all must be kept.
        rank = min(CLASSES, classes - 1)
        undecided = max(0, self.training.steps - rank)
        return self._continuations(self.training.batch_size) ** undecided <= WIDTH

    def _continuations(self, new: int) -> int:
        return math.comb(int((self.left > 0).sum()) + new - 1, new)

    def run(self, picture: Tensor, stretch: float) -> tuple[Tensor, Tensor]:
        """Return sequences ``(B, N)`` and how badly each explains the update, ``(B,)``."""
        start, training = parameters(self.model), self.training
        step = _Step(self.model, self.head, picture, training.learning_rate * stretch)
        total = {k: g * (training.steps / stretch) for k, g in self.gradient.items()}
        width = min(WIDTH, max(1, WEIGHTS // sum(w.numel() for w in start.values())))
        beam = _Beam(
            {k: w[None] for k, w in start.items()},
            total[self.head][None, self.classes],
            self.left[None],
            torch.full((1, self.examples), -1, device=self.left.device),
        )
        order = torch.arange(training.steps * training.batch_size) % self.examples
        for t, examples in enumerate(order.view(training.steps, -1).to(self.left.device)):
            beam = self._advance(beam, step, examples, training.steps - t - 1, width)
        moved = {k: (start[k] - w) / step.rate for k, w in beam.weights.items()}
        cost = sum(
            ((moved[k] - g) ** 2).flatten(1).sum(1) for k, g in total.items() if k == self.head
        )
        size = (total[self.head] ** 2).sum()
        return self.classes[beam.labels].cpu(), (cost / size).cpu()

    def _advance(
        self, beam: _Beam, step: _Step, examples: Tensor, to_come: int, width: int
    ) -> _Beam:
        """Take one local step in every way that is likely."""
        new = examples[beam.labels[0, examples] < 0]
        old = examples[beam.labels[0, examples] >= 0]
        seen = F.one_hot(beam.labels[:, old], len(self.classes)).sum(1)
        probabilities, features = step.look(beam.weights)
        judge = _Judge(
            beam.rest, probabilities[:, self.classes], features, seen, len(examples), to_come
        )
        if self._continuations(len(new)) <= CONTINUATIONS:
            counts = self._all(len(new)).expand(len(beam.rest), -1, -1)
        else:
            counts = judge.climb(_share_out(beam.left, len(new)), beam.left)
        tails = judge.tails(counts).masked_fill((counts > beam.left[:, None]).any(-1), math.inf)
        flat = tails.flatten()
        chosen = flat.argsort(stable=True)[:width]
        chosen = chosen[flat[chosen].isfinite()]
        parents, chosen_counts = chosen // tails.shape[1], counts.flatten(0, 1)[chosen]
        kept = beam[parents]
        target = torch.zeros_like(probabilities[parents])
        target[:, self.classes] = ((seen[parents] + chosen_counts) / len(examples)).to(target)
        weights, gradients = step.take(kept.weights, target)
        labels = kept.labels.clone()
        places = torch.arange(len(self.classes), device=labels.device).expand(len(labels), -1)
        labels[:, new] = (
            places.flatten().repeat_interleave(chosen_counts.flatten()).view(len(labels), len(new))
        )
        return _Beam(
            weights,
            kept.rest - gradients[self.head][:, self.classes],
            kept.left - chosen_counts,
            labels,
        )

    def _all(self, new: int) -> Tensor:
        """Return how often each class comes among new examples, in every way: ``(M, L)``."""
        possible = (self.left > 0).nonzero().flatten().tolist()
        ways = list(itertools.combinations_with_replacement(possible, new))
        picked = torch.tensor(ways, dtype=torch.long, device=self.left.device).view(-1, new)
        return F.one_hot(picked, len(self.classes)).sum(1)


class _Step:
    """Local steps of many clients at once, on pictures that stand in for theirs."""

    def __init__(self, model: nn.Module, head: str, picture: Tensor, rate: float) -> None:
        self._forward, self._head, self._picture = as_function(model), head, picture
        self.rate = rate
        self.look = vmap(self._look)
        self._gradients = vmap(grad(self._loss))

    def take(
        self, weights: dict[str, Tensor], targets: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the weights ``(B, ...)`` after a step towards ``(B, C)``, and its gradients."""
        gradients = self._gradients(weights, targets)
        return {k: w - self.rate * gradients[k] for k, w in weights.items()}, gradients

    def _loss(self, weights: Mapping[str, Tensor], target: Tensor) -> Tensor:
        logits = self._forward(weights, self._picture)
        return -(target * F.log_softmax(logits, dim=-1)).sum(-1).mean()

    def _look(self, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the mean probabilities ``(C,)`` and the features of the last layer ``(D,)``."""

        def first(head: Tensor) -> tuple[Tensor, Tensor]:
            logits = self._forward({**weights, self._head: head}, self._picture)
            return logits[:, 0].mean(), torch.softmax(logits, dim=-1).mean(0)

        features, probabilities = grad(first, has_aux=True)(weights[self._head])
        return probabilities, features[0]


class _Judge:
    """Tells how far what a step would leave unexplained is from the rank that it must have."""

    def __init__(
        self,
        rest: Tensor,
        probabilities: Tensor,
        features: Tensor,
        seen: Tensor,
        size: int,
        to_come: int,
    ) -> None:
        rest, features = rest.double(), features.double()
        self._gram = rest @ rest.mT
        self._cross = (rest @ features[..., None])[..., 0]
        self._norm = (features**2).sum(-1)
        self._probabilities, self._seen, self._size = probabilities.double(), seen, size
        self._beyond = max(0, rest.shape[1] - to_come)

    def tails(self, counts: Tensor) -> Tensor:
        """Return the squared singular values beyond the rank, summed, for ``(B, M, L)``."""
        target = (self._seen[:, None] + counts) / self._size
        error = self._probabilities[:, None] - target
        product = error[..., :, None] * self._cross[:, None, None, :]
        gram = (
            self._gram[:, None]
            - product
            - product.mT
            + self._norm[:, None, None, None] * error[..., :, None] * error[..., None, :]
        )
        return torch.linalg.eigvalsh(gram)[..., : self._beyond].clamp(min=0).sum(-1)

    def climb(self, counts: Tensor, left: Tensor) -> Tensor:
        """Move one label at a time from ``(B, L)`` on; return all moves from where it ends."""
        eye = torch.eye(counts.shape[1], dtype=torch.long, device=counts.device)
        moves = (eye[:, None] - eye[None]).flatten(0, 1)
        moves = torch.cat([0 * moves[:1], moves[(moves != 0).any(1)]])
        for _ in range(2 * self._size):
            near = counts[:, None] + moves
            wrong = ((near < 0) | (near > left[:, None])).any(-1)
            best = self.tails(near).masked_fill(wrong, math.inf).argmin(1)
            if not best.any():
                break
            counts = near[torch.arange(len(near), device=near.device), best]
        near = counts[:, None] + moves
        return torch.where((near < 0).any(-1, keepdim=True), left[:, None] + 1, near)


def _share_out(weights: Tensor, count: int) -> Tensor:
    """Return whole numbers ``(B, L)`` that sum to ``count``, in proportion to weights."""
    exact = count * weights / weights.sum(1, keepdim=True)
    whole = exact.floor().long()
    missing = count - whole.sum(1, keepdim=True)
    rank = (whole - exact).argsort(dim=1, stable=True).argsort(dim=1)
    return whole + (rank < missing)


def _stand_ins(model: nn.Module, input_shape: tuple[int, ...]) -> list[Tensor]:
    """Return pictures ``(1, *input_shape)`` that could be anybody's."""
    like = next(model.parameters())
    return [
        torch.full((1, *input_shape), grey, device=like.device, dtype=like.dtype) for grey in _GREYS
    ]
