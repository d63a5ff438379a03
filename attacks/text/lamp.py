"""LAMP."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.matching.attack import SignedAdamMatching
from fedsim.attacks.matching.loop import match_gradients
from fedsim.attacks.matching.objectives import Objective
from fedsim.attacks.matching.optimisers import Optimiser, SignedAdam
from fedsim.attacks.matching.priors import Prior
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.matching.trials import Trials
from fedsim.attacks.text.model import text_model
from fedsim.attacks.text.ngrams import Bigrams
from fedsim.attacks.text.space import EmbeddingSpace
from fedsim.attacks.text.tag import LayerWeightedDistance, labels_of_texts
from fedsim.attacks.types import Observation, OnProgress, Progress, Reconstruction, ShouldStop
from fedsim.core.checked import CodeOnly
from fedsim.core.errors import AttackError
from fedsim.core.modality import TEXTS
from fedsim.core.registry import ATTACKS
from fedsim.core.tasks import Task


@dataclass(frozen=True)
class TokenLength(Prior):
    """Squared difference of the dummies' mean length from that of tokens.

    Balunović et al., LAMP, 2022 (arXiv 2202.08827, section 4.1).

    Attributes:
        length: mean length of the model's tokens.
        weight: of the cost.
    """

    length: float
    weight: float

    modality: ClassVar[str] = TEXTS

    def __call__(self, data: Tensor) -> Tensor:
        """Return the cost of embeddings ``(B, L, D + 1)``, whose last number is 1 for tokens."""
        embeddings, real = data[..., :-1], data[..., -1]
        mean: Tensor = (embeddings.norm(dim=-1) * real).sum() / real.sum()
        return self.weight * (mean / self.length - 1).square()


MAX_REORDERINGS = 30
"""Maximum number of final reorderings."""

DECISIVE = 0.5
"""Share of its cost to which another order must bring a text to be taken. While some tokens are
still wrong the best order of them is not that of the text, and a small gain says nothing: on 16
messages, 480 evaluations each, taking any gain ended below the ROUGE-2 of TAG."""

_DECAY, _DECAY_EVERY = 0.89, 50
"""Decay of the step size, and the evaluations between decays, as in the authors' runs."""

_LENGTH = 1e-3
"""Weight of the cost of lengths. At 0.1 it kept single texts from the tokens that fit."""


@ATTACKS.register("lamp")
class Lamp(SignedAdamMatching):
    """LAMP: gradient matching in turns with reorderings that a language model finds likely.

    Balunović, Dimitrov, Jovanović, Vechev, NeurIPS 2022 (arXiv 2202.08827): the objective of
    TAG (their second variant; the first has a cosine) with a cost of lengths that no token has
    (section 4.1), and, in turns with the optimisation, tokens swapped and moved where that lowers
    the objective and the perplexity together (4.2). For the classification of texts.

    Differences: the language model is one of token pairs, learned from public texts, where the
    paper has GPT-2. Orders are compared by the objective of the tokens that are read, where the
    paper takes the embeddings': a transformer sees sums of tokens and positions, so that two
    embeddings may be exchanged at no cost. Another order must be better by far. In the end tokens
    are reordered until that helps no more. One random start, where the paper takes the best of 500
    by objective: of 100, that made it worse here.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({TEXTS})
    reads_positions: ClassVar[bool] = False

    evaluations: Annotated[
        int, Field(ge=1, description="maximum number of objective evaluations of each trial")
    ] = 1000
    step_size: Annotated[float, Field(gt=0, description="first step size of Adam")] = 0.1
    signed: Annotated[bool, Field(description="use only the sign of the gradient")] = False
    turns: Annotated[
        int,
        Field(
            ge=1, examples=[1], description="number of alternations of optimisation and reordering"
        ),
    ] = 4
    orders: Annotated[
        int,
        Field(ge=0, examples=[8], description="number of other orders tried in an alternation"),
    ] = 200
    fluency: Annotated[
        float, Field(ge=0, description="weight of the language model, per token")
    ] = 1e-4
    start: Annotated[Literal["grey", "normal"], Field(description="first dummy")] = "normal"
    objective: CodeOnly[Objective] = LayerWeightedDistance(0.01)
    public: CodeOnly[Bigrams | None] = None

    def with_public_texts(self, texts: Sequence[Sequence[int]]) -> Self:
        """Return a copy with a language model of public texts."""
        return replace(self, public=Bigrams.of(texts))

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return labels_of_texts(model, observation)

    def _reconstruct(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        *,
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        if text_model(model).task is not Task.CLASSIFY:
            raise AttackError(
                "lamp supports only models that classify texts; use 'dager' or 'dlg' for models "
                "that predict tokens"
            )
        return super()._reconstruct(
            model, observations, seed=seed, on_progress=on_progress, should_stop=should_stop
        )

    def regularisers(self, model: nn.Module) -> tuple[Prior, ...]:
        """Return the cost of lengths that no token has, besides any other prior."""
        mean = float(text_model(model).table.detach().norm(dim=1).mean())
        return (*self.priors, TokenLength(mean, weight=_LENGTH))

    def _solved(
        self, problem: Problem, trials: Trials, on_progress: OnProgress, should_stop: ShouldStop
    ) -> dict[int, Reconstruction]:
        found: dict[int, Reconstruction] = {}
        points: dict[int, Tensor] = {}
        for number in range(self.turns):
            turn = self._turn(number)
            spent = number * turn.evaluations

            def on_turn(progress: Progress, spent: int = spent) -> None:
                evaluation = spent + progress.evaluation
                on_progress(
                    replace(progress, evaluation=evaluation, max_evaluations=self.evaluations)
                )

            begun = trials.beginning_at(points)
            later = match_gradients(problem, begun, on_turn, should_stop, attack=turn)
            found = {victim: _joined(found.get(victim), r) for victim, r in later.items()}
            if should_stop():
                return found
            points = {
                victim: self._reordered(problem, trials, victim, number, r.point)
                for victim, r in found.items()
                if r.point is not None
            }
        return {victim: self._ordered(problem, trials, victim, r) for victim, r in found.items()}

    def optimiser(self) -> Optimiser:
        """Return batched Adam, whose step size falls between alternations, not within them."""
        return SignedAdam(self.step_size, self.signed, drops=())

    def _turn(self, number: int) -> Self:
        """Return the attack for one alternation, with its share of the budget and its step size."""
        evaluations = max(1, self.evaluations // self.turns)
        step_size = self.step_size * _DECAY ** (number * evaluations / _DECAY_EVERY)
        return replace(self, evaluations=evaluations, step_size=step_size)

    def _reordered(
        self, problem: Problem, trials: Trials, victim: int, turn: int, point: Tensor
    ) -> Tensor:
        """Return a point with its tokens in the best of many orders, if that is better by far."""
        space = problem.space
        assert isinstance(space, EmbeddingSpace)  # noqa: S101 - the only space of such models
        generator = trials.generator("orders", victim, turn)
        points = _reorderings(space.known, point, self.orders, generator)
        texts = problem.decode(points, [victim] * len(points))
        against = trials.against(problem.victims.index(victim) * self.trials)
        encoded = torch.stack([space.encode(batch) for batch in texts])
        costs = problem.values(encoded, against).cpu()
        if self.public is not None:
            fluent = [self._surprise(batch.cpu(), space.real.cpu() > 0) for batch in texts]
            costs = costs + self.fluency * torch.tensor(fluent)
        best = costs.argmin()
        return points[best] if costs[best] < DECISIVE * costs[0] else points[0]

    def _ordered(
        self, problem: Problem, trials: Trials, victim: int, found: Reconstruction
    ) -> Reconstruction:
        """Return a reconstruction reordered until there is no further gain."""
        point = found.point
        if point is None:
            return found
        for number in range(self.turns, self.turns + MAX_REORDERINGS):
            before, point = point, self._reordered(problem, trials, victim, number, point)
            if torch.equal(before, point):
                break
        data = problem.decode(point[None], [victim])[0].cpu()
        return replace(found, data=data, point=point)

    def _surprise(self, batch: Tensor, real: Tensor) -> float:
        assert self.public is not None  # noqa: S101 - checked by its only caller
        texts = zip(batch, real, strict=True)
        return self.public.surprise([row[present].tolist() for row, present in texts])


def _joined(before: Reconstruction | None, after: Reconstruction) -> Reconstruction:
    """Return the result of an alternation with the history of the previous ones."""
    if before is None:
        return after
    if after.data is None:  # stopped before it began
        return before
    spent = before.evaluations
    later = (replace(s, evaluation=spent + s.evaluation) for s in after.history)
    return replace(after, history=(*before.history, *later), evaluations=spent + after.evaluations)


def _reorderings(known: Tensor, point: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return a point and others with two of its tokens swapped, or one moved.

    Args:
        known: the tokens that are known and stay ``(B, L)``, else -1.
        point: ``(n,)``, the embeddings of all texts.
        count: how many others, at the most.
        generator: chooses them.

    Returns:
        ``(1 + count, n)`` or fewer, the point itself first.
    """
    orders = [torch.arange(known.numel())]
    for free in (
        row.nonzero().flatten() + i * known.shape[1] for i, row in enumerate((known < 0).cpu())
    ):
        for a, b in itertools.permutations(range(len(free)), 2):
            order = free.tolist()
            order.insert(b, order.pop(a))
            orders.append(orders[0].index_put((free,), torch.tensor(order)))
            if a < b:
                order = free.tolist()
                order[a], order[b] = order[b], order[a]
                orders.append(orders[0].index_put((free,), torch.tensor(order)))
    chosen = 1 + torch.randperm(len(orders) - 1, generator=generator)[:count]
    cells = point.view(known.numel(), -1)
    return torch.stack([cells[orders[i]].flatten() for i in (0, *chosen.tolist())])
