"""LAMP."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from attacks.base import attack_parameters
from attacks.matching import SignedAdamMatching
from attacks.objectives import Objective
from attacks.priors import Prior
from attacks.text.ngrams import Bigrams
from attacks.text.tables import frame_of
from attacks.text.tag import LayerWeightedDistance, labels_of_texts
from attacks.types import Observation, OnProgress, Reconstruction, ShouldStop
from fedsim.data.tokens import Task
from fedsim.errors import AttackError
from fedsim.modality import Modality
from fedsim.models import TextModel
from fedsim.registry import ATTACKS


@dataclass(frozen=True)
class WordLength(Prior):
    """Squared difference of the dummies' mean length from that of words.

    Balunović et al., LAMP, 2022 (arXiv 2202.08827, section 4.1).

    Attributes:
        length: mean length of the model's words.
        weight: of the cost.
    """

    length: float
    weight: float

    takes: ClassVar[Modality] = Modality.TEXTS

    def __call__(self, data: Tensor) -> Tensor:
        """Return the cost of embeddings ``(B, L, D + 1)``, the last number 1 where there is one."""
        words, real = data[..., :-1], data[..., -1]
        mean: Tensor = (words.norm(dim=-1) * real).sum() / real.sum()
        return self.weight * (mean / self.length - 1).square()


@ATTACKS.register("lamp")
@attack_parameters
class Lamp(SignedAdamMatching):
    """LAMP: gradient matching in turns with reorderings that a language model finds likely.

    Balunović, Dimitrov, Jovanović, Vechev, NeurIPS 2022 (arXiv 2202.08827): the objective of
    TAG (their second variant; the first has a cosine), a cost of lengths that no word has (section
    4.1), and, in turns with the optimisation, words swapped and moved where that lowers the
    objective and the perplexity together (4.2). For the
    classification of texts, as there. Differences: the language model is one of word pairs,
    learned from public texts, where the paper has GPT-2; each turn starts from the words that the
    one before has read, where the paper carries the embeddings on.
    """

    takes: ClassVar[frozenset[Modality]] = frozenset({Modality.TEXTS})
    reads_places: ClassVar[bool] = False

    evaluations: Annotated[
        int, Field(ge=1, description="objective evaluations that each trial may spend")
    ] = 1000
    step_size: Annotated[float, Field(gt=0, description="first step size of Adam")] = 0.1
    signed: Annotated[
        bool, Field(description="use the sign of the gradient alone, not its size")
    ] = False
    turns: Annotated[int, Field(ge=1, description="turns of optimisation and reordering")] = 4
    fluency: Annotated[
        float, Field(ge=0, description="weight of the language model, per token")
    ] = 0.02
    start: Annotated[Literal["grey", "normal"], Field(description="first dummy")] = "normal"
    objective: Objective = field(default=LayerWeightedDistance(0.01), repr=False)
    public: Bigrams | None = field(default=None, repr=False)
    read: Mapping[int, Reconstruction] = field(default_factory=dict, repr=False)

    def informed(self, texts: Sequence[Sequence[int]]) -> Self:
        """Return the attack with a language model of public texts."""
        return replace(self, public=Bigrams.of(texts))

    def guesses(
        self, model: nn.Module, observations: Mapping[int, Observation]
    ) -> Mapping[int, Reconstruction]:
        """Return what the turn before has read."""
        return {i: found for i, found in self.read.items() if i in observations}

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
        if not isinstance(model, TextModel) or model.task is not Task.CLASSIFY:
            raise AttackError(
                "lamp is for models that classify texts; use 'dager' or 'dlg' for those that "
                "predict tokens"
            )
        length = float(model.table.detach().norm(dim=1).mean())
        turn = replace(
            self,
            evaluations=max(1, self.evaluations // self.turns),
            priors=(*self.priors, WordLength(length, weight=0.1)),
        )
        found: dict[int, Reconstruction] = {}
        for _ in range(self.turns):
            later = super(Lamp, turn)._reconstruct(
                model, observations, seed=seed, on_progress=on_progress, should_stop=should_stop
            )
            found = {i: self._joined(found.get(i), r) for i, r in later.items()}
            for i, observation in observations.items():
                if not should_stop():
                    found[i] = self._reordered(model, observation, found[i])
            turn = replace(turn, read={i: r for i, r in found.items() if r.data is not None})
        return found

    def _joined(self, before: Reconstruction | None, after: Reconstruction) -> Reconstruction:
        """Return a turn's outcome with what came before it in its history."""
        if before is None or after.data is None:
            return after
        earlier = before.history
        spent = before.evaluations
        later = tuple(replace(s, evaluation=spent + s.evaluation) for s in after.history)
        return replace(after, history=(*earlier, *later), evaluations=spent + after.evaluations)

    def _reordered(
        self, model: TextModel, observation: Observation, found: Reconstruction
    ) -> Reconstruction:
        """Return a reconstruction whose words stand in the best of many orders."""
        if found.data is None or found.labels is None:
            return found
        best, labels = found.data, found.labels
        cost = self._cost(model, observation, best, labels)
        improved = True
        while improved:
            improved = False
            for tokens in _orders(best, frame_of(model, observation).cpu()):
                other = self._cost(model, observation, tokens, labels)
                if other < cost - 1e-6:
                    best, cost, improved = tokens, other, True
                    break
        return replace(found, data=best)

    def _cost(
        self, model: TextModel, observation: Observation, tokens: Tensor, labels: Tensor
    ) -> float:
        plain = replace(self, priors=())
        fit = super(Lamp, plain).misfit(model, observation, tokens, labels)
        if self.public is None:
            return fit
        pad = model.vocabulary.specials.pad
        texts = [[token for token in row if token != pad] for row in tokens.tolist()]
        return fit + self.fluency * self.public.surprise(texts)


def _orders(tokens: Tensor, frame: Tensor) -> list[Tensor]:
    """Return texts with two words swapped, or one moved; the frame's tokens stay."""
    made = []
    for row in range(len(tokens)):
        free = (frame[row] < 0).nonzero().flatten().tolist()
        words = tokens[row, free].tolist()
        for a, b in itertools.permutations(range(len(words)), 2):
            moved = [*words]
            if a < b:
                moved[a], moved[b] = moved[b], moved[a]
                made.append((row, free, moved))
                moved = [*words]
            moved.insert(b, moved.pop(a))
            made.append((row, free, moved))
    orders = []
    for row, free, words in made:
        text = tokens.clone()
        text[row, free] = torch.tensor(words)
        orders.append(text)
    return orders
