"""Search among tokens for the texts of which an upload is likeliest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.matching.attack import SignedAdamMatching
from fedsim.attacks.matching.objectives import (
    GaussianLikelihood,
    LaplacianLikelihood,
    unwrapped,
)
from fedsim.attacks.matching.priors import Prior
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.matching.space import Space
from fedsim.attacks.matching.trials import Trials
from fedsim.attacks.text.likelihood import TextLikelihood
from fedsim.attacks.text.model import text_model
from fedsim.attacks.text.moves import Guess, Moves
from fedsim.attacks.text.ngrams import Bigrams
from fedsim.attacks.text.token_space import Parts, TokenSpace
from fedsim.attacks.types import (
    Observation,
    OnProgress,
    Progress,
    Reconstruction,
    ShouldStop,
    Snapshot,
    Status,
)
from fedsim.core.checked import CodeOnly
from fedsim.core.derivatives import grad
from fedsim.core.modality import TEXTS
from fedsim.core.registry import ATTACKS
from fedsim.core.tasks import Task

_KICK = 0.3
"""Share of the tokens that are drawn anew at the start of a trial but the first."""

_CHUNK_BYTES = 2e8
"""Memory for the points that are compared together."""


@ATTACKS.register("token-search")
class TokenSearch(SignedAdamMatching):
    """Token search: gradient matching among tokens, one change after the other.

    The objective is that of gradient matching, with the rows of the token embedding: under noise
    of a known level, the likelihood of the whole upload. All neighbours of a batch of texts (one
    token replaced, two exchanged, another one masked, another class) are compared to first order by
    one derivative, as in HotFlip (Ebrahimi et al., ACL 2018, arXiv 1712.06751), the best of them
    exactly, and the improvements that fit together are made at once, until there is none. The first
    guess is the best to first order from all tokens alike; each later trial begins at the best
    texts so far with some of the tokens drawn anew.

    The published attack for gradients with noise, TIGER (Kalikman et al. 2026, arXiv 2606.18312),
    minimises the distance of embeddings from the subspace of attention gradients. Here the whole
    gradient is compared, which holds more: see `docs/texts.md` for both. We know of no earlier use
    of this search for gradient inversion.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({TEXTS})

    evaluations: Annotated[
        int, Field(ge=1, description="gradients that each trial may compute")
    ] = 4000
    candidates: Annotated[
        int, Field(ge=1, description="tokens, and exchanges, tried for each position")
    ] = 6

    public: CodeOnly[Bigrams | None] = None

    def with_public_texts(self, texts: Sequence[Sequence[int]]) -> Self:
        """Return a copy whose language model is learned from public texts.

        Args:
            texts: the tokens of each, without padding.
        """
        return replace(self, public=Bigrams.of(texts) if texts else None)

    def regularisers(self, model: nn.Module) -> tuple[Prior, ...]:
        """Return the likelihood of texts, if the objective is that of an upload under noise."""
        _, objective = unwrapped(self.distance())
        noisy = isinstance(objective, GaussianLikelihood | LaplacianLikelihood)
        if self.public is None or not noisy:
            return self.priors
        return (*self.priors, TextLikelihood(self.public, len(text_model(model).table)))

    def space_type(self, model: nn.Module) -> type[Space]:
        """Return the space of tokens."""
        return TokenSpace

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        """Return known classes; unknown ones are searched for."""
        return observation.labels if text_model(model).task is Task.CLASSIFY else None

    def _labels_of(
        self,
        model: nn.Module,
        observations: Mapping[int, Observation],
        should_stop: ShouldStop,
    ) -> tuple[dict[int, Tensor | None], dict[int, Reconstruction]]:
        return {i: self._labels(model, o) for i, o in observations.items()}, {}

    def _solved(
        self, problem: Problem, trials: Trials, on_progress: OnProgress, should_stop: ShouldStop
    ) -> dict[int, Reconstruction]:
        found: dict[int, Reconstruction] = {}
        for row, victim in enumerate(problem.victims):
            if should_stop():
                found[victim] = Reconstruction.failed("stopped before the first evaluation")
                continue
            best: _Descent | None = None
            for trial in range(self.trials):
                lane = row * self.trials + trial
                descent = _Descent(self, problem, trials, lane, best)
                descent.run(on_progress, should_stop)
                if best is None or descent.value < best.value:
                    best = descent
                if should_stop() or best.value <= self.tolerance:
                    break
            assert best is not None  # noqa: S101 - there is at least one trial
            found[victim] = best.result()
        return found


class _Descent:
    """One trial on one victim.

    Attributes:
        value: relative objective of the best guess.
        guess: the best guess.

    Args:
        attack: its hyper-parameters.
        problem: the victims.
        trials: their starts.
        lane: the trial's lane.
        best: the best of earlier trials, to begin near it; None for the first.
    """

    value: float
    guess: Guess

    def __init__(
        self,
        attack: TokenSearch,
        problem: Problem,
        trials: Trials,
        lane: int,
        best: _Descent | None,
    ) -> None:
        space = problem.space
        assert isinstance(space, TokenSpace)  # noqa: S101 - the only space of this attack
        self._attack, self._problem, self._space = attack, problem, space
        self._victim, self._trial = trials.victim(lane), lane % attack.trials
        self._against = trials.against(lane)
        self._labels = trials.labels(lane)
        self._moves = Moves(space, attack.candidates)
        start = trials.start(lane)
        self._size = len(start) - space.size
        self._like = space.parts(start[: space.size])
        self._spent, self._status = 0, Status.EXHAUSTED
        self._history: list[Snapshot] = []
        generator = trials.generator("kick", self._victim, self._trial)
        if best is None:
            self.guess = self._moves.first(self._like, self._slopes(self._like))
        else:
            self.guess = self._kicked(best.guess, generator)
        [self.value] = self._values([self.guess])

    def run(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        """Improve the guess until nothing does, or the budget or time has run out."""
        self._note(on_progress)
        while self._spent < self._attack.evaluations:
            if self.value <= self._attack.tolerance:
                self._status = Status.CONVERGED
                return
            if should_stop():
                self._status = Status.STOPPED
                return
            slopes = self._slopes(self.guess.parts(self._like))
            tried = self._moves.around(self.guess, slopes)
            left = max(1, self._attack.evaluations - self._spent)
            if not self._improve(tried[:left]):
                self._status = Status.STALLED if len(tried) <= left else Status.EXHAUSTED
                return
            self._note(on_progress)

    def result(self) -> Reconstruction:
        """Return the reconstruction."""
        scale = float(self._problem.scale({k: g[None] for k, g in self._against.shared.items()})[0])
        labels = self.guess.classes.cpu() if len(self.guess.classes) else self._labels
        return Reconstruction(
            data=self._history[-1].data,
            labels=labels,
            objective=self.value * scale,
            relative_objective=self.value,
            status=self._status,
            evaluations=self._spent,
            trial=self._trial,
            history=tuple(replace(s, objective=s.objective * scale) for s in self._history),
        )

    def _improve(self, tried: list[Guess]) -> bool:
        """Make all improvements that fit together; return whether there was one."""
        values = self._values(tried)
        order = sorted(range(len(tried)), key=values.__getitem__)
        joint: list[Guess] = []
        changed, last = torch.zeros_like(self.guess.differs(self.guess)), self.guess
        for n in order:
            if not values[n] < self.value:
                break
            differs = tried[n].differs(self.guess)
            if not bool((changed & differs).any()):
                changed, last = changed | differs, last.towards(tried[n], self.guess)
                joint.append(last)
        if not joint:
            return False
        more = [values[order[0]], *self._values(joint[1:])]
        best = min(range(len(joint)), key=more.__getitem__)
        self.guess, self.value = joint[best], more[best]
        return True

    def _values(self, guesses: list[Guess]) -> list[float]:
        """Return the relative objectives of guesses."""
        self._spent += len(guesses)
        size = max(1, int(_CHUNK_BYTES / (self._space.size * self._problem.like.element_size())))
        found: list[float] = []
        for begin in range(0, len(guesses), size):
            points = torch.stack([self._point(g) for g in guesses[begin : begin + size]])
            found += self._problem.values(points, self._against).tolist()
        return [value if math.isfinite(value) else math.inf for value in found]

    def _slopes(self, parts: Parts) -> Parts:
        """Return the derivatives of the objective by the weights of all tokens."""
        self._spent += 1
        point = self._whole(self._space.point(parts))
        slopes: Tensor = grad(self._problem.distance)(point, self._against)
        return self._space.parts(slopes[: self._space.size])

    def _point(self, guess: Guess) -> Tensor:
        return self._whole(self._space.point(guess.parts(self._like)))

    def _whole(self, point: Tensor) -> Tensor:
        """Return a point with the numbers that do not stand for data, at their start."""
        return torch.cat([point, point.new_zeros(self._size)])

    def _kicked(self, guess: Guess, generator: torch.Generator) -> Guess:
        """Return a guess with some of its tokens drawn anew."""
        ordinary = self._space.ordinary
        drawn = torch.rand(guess.tokens.shape, generator=generator).to(ordinary.device)
        other = torch.randint(len(ordinary), guess.tokens.shape, generator=generator)
        chosen = self._space.free & (drawn < _KICK)
        return replace(
            guess, tokens=torch.where(chosen, ordinary[other.to(chosen.device)], guess.tokens)
        )

    def _note(self, on_progress: OnProgress) -> None:
        """Add the guess to the history and report it."""
        parts = self.guess.parts(self._like)
        data = self._space.decode(self._space.point(parts)[None])[0].cpu()
        self._history.append(Snapshot(self._spent, self.value, data))
        on_progress(
            Progress(
                victims=torch.tensor([self._victim]),
                evaluation=self._spent,
                max_evaluations=self._attack.evaluations,
                objective=torch.tensor([self.value]),
                data=lambda: data[None],
            )
        )
