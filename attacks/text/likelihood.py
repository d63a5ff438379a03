"""Likelihood of texts, as a prior of weights over the vocabulary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from fedsim.attacks.matching.priors import Prior
from fedsim.attacks.text.ngrams import Bigrams
from fedsim.core.modality import TEXTS


@dataclass(frozen=True)
class TextLikelihood(Prior):
    """Minus the log-likelihood of texts under a model of token pairs, in nats.

    It is the model's own for weights of 0 and 1, and multilinear between.

    Attributes:
        public: the model of token pairs.
        entries: number of entries of the vocabulary.
    """

    public: Bigrams
    entries: int

    modality: ClassVar[str] = TEXTS

    def __call__(self, data: Tensor) -> Tensor:
        """Return the cost of weights ``(B, L, V + 1)``, whose last number is 1 for tokens."""
        tokens, real = data[..., :-1], data[..., -1]
        alone, instead, first, second, more = (t.to(data.device) for t in self._tables)
        before, after = tokens[:, :-1], tokens[:, 1:]
        seen = before[..., first] * after[..., second]
        instead, more = instead.to(data), more.to(data)
        pairs = (before @ instead + seen @ more) * real[:, 1:]
        likelihood = (tokens @ alone.to(data)).sum() + pairs.sum()
        return -likelihood

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Logarithms of the probabilities of single tokens ``(V,)`` and of what replaces them.

        After token v, a token w has the probability of w alone times that of ``instead[v]``, and
        for the n pairs that were seen also that of ``more``.
        """
        model = self.public
        alone = [math.log(model.alone(t)) for t in range(self.entries)]
        instead = [math.log(model.unseen(t)) for t in range(self.entries)]
        pairs = [(a, b) for a, b in model.pairs if max(a, b) < self.entries]
        more = [math.log(model.likelihood(a, b)) - instead[a] - alone[b] for a, b in pairs]
        first, second = [a for a, _ in pairs], [b for _, b in pairs]
        return (
            torch.tensor(alone),
            torch.tensor(instead),
            torch.tensor(first, dtype=torch.long),
            torch.tensor(second, dtype=torch.long),
            torch.tensor(more),
        )
