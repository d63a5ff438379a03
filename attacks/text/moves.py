"""Changes of a batch of texts that a search tries, the most promising first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.attacks.text.token_space import Parts, TokenSpace


@dataclass(frozen=True)
class Guess:
    """Texts, with what is unknown besides.

    Attributes:
        tokens: ``(B, L)``, also behind mask tokens.
        masked: ``(B, L)`` bool; of no columns if the task masks none.
        classes: ``(B,)``; empty if they are not unknown.
    """

    tokens: Tensor
    masked: Tensor
    classes: Tensor

    def parts(self, like: Parts) -> Parts:
        """Return the weights of 0 and 1, with those of known positions taken from ``like``."""
        tokens = like.tokens.clone()
        rows, columns = (self.tokens >= 0).nonzero(as_tuple=True)
        tokens[rows, columns] = 0
        tokens[rows, columns, self.tokens[rows, columns]] = 1
        classes = torch.zeros_like(like.classes)
        if len(self.classes):
            classes.scatter_(1, self.classes[:, None], 1)
        return Parts(tokens, self.masked.to(like.masked), classes)

    def differs(self, other: Guess) -> Tensor:
        """Return a mask of the differences ``(n,)``, over tokens, masks and classes."""
        pairs = zip(self._all(), other._all(), strict=True)
        return torch.cat([(one != two).flatten() for one, two in pairs])

    def towards(self, other: Guess, base: Guess) -> Guess:
        """Return this guess with what ``other`` changed of ``base``."""
        triples = zip(self._all(), other._all(), base._all(), strict=True)
        return Guess(*(torch.where(two != old, two, one) for one, two, old in triples))

    def _all(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.tokens, self.masked, self.classes


class Moves:
    """The changes of one token, of two exchanged tokens, of a mask or a class.

    Args:
        space: the space of the texts.
        candidates: number of tokens tried at each position, and of exchanges for each position.
    """

    def __init__(self, space: TokenSpace, candidates: int) -> None:
        self._space, self._candidates = space, candidates
        self._cells = space.free.nonzero()

    def first(self, start: Parts, slopes: Parts) -> Guess:
        """Return the best guess to first order, from a point at which all is equally likely."""
        space = self._space
        best = space.ordinary[slopes.tokens[..., space.ordinary].argmin(-1)]
        tokens = torch.where(space.free, best, -1)
        masked = torch.zeros_like(start.masked, dtype=torch.bool)
        if masked.shape[1]:
            costs = slopes.masked.masked_fill(~space.free, torch.inf)
            masked = costs.argsort(1).argsort(1) < space.masks[:, None]
        few = slopes.classes.shape[1] > 0
        classes = slopes.classes.argmin(1) if few else tokens.new_zeros(0)
        return Guess(tokens, masked, classes)

    def around(self, guess: Guess, slopes: Parts) -> list[Guess]:
        """Return the neighbours of a guess that promise most to first order."""
        return [
            *self._replaced(guess, slopes.tokens),
            *self._exchanged(guess, slopes.tokens),
            *self._masked(guess, slopes.masked),
            *self._classified(guess, slopes.classes),
        ]

    def _replaced(self, guess: Guess, slopes: Tensor) -> Iterator[Guess]:
        """Yield guesses with another token at one position."""
        ordinary = self._space.ordinary
        few = min(self._candidates + 1, len(ordinary))
        for row, column in self._cells.tolist():
            best = slopes[row, column, ordinary].topk(few, largest=False).indices
            others = [t for t in ordinary[best].tolist() if t != guess.tokens[row, column]]
            for token in others[: self._candidates]:
                tokens = guess.tokens.clone()
                tokens[row, column] = token
                yield Guess(tokens, guess.masked, guess.classes)

    def _exchanged(self, guess: Guess, slopes: Tensor) -> Iterator[Guess]:
        """Yield guesses with the tokens of two positions exchanged, also of two texts."""
        rows, columns = self._cells.unbind(1)
        own = guess.tokens[rows, columns]
        costs = slopes[rows, columns][:, own]  # [i, j]: position i with the token of position j
        change = costs + costs.T - costs.diagonal()[:, None] - costs.diagonal()
        different = (own[:, None] != own).triu()
        pairs = different.nonzero()
        most = self._candidates * len(own)
        for first, second in pairs[change[different].argsort()[:most]].tolist():
            tokens = guess.tokens.clone()
            tokens[rows[first], columns[first]] = own[second]
            tokens[rows[second], columns[second]] = own[first]
            yield Guess(tokens, guess.masked, guess.classes)

    def _masked(self, guess: Guess, slopes: Tensor) -> Iterator[Guess]:
        """Yield guesses with another position masked in place of one."""
        if not slopes.shape[1]:
            return
        hidden = guess.masked & self._space.free
        for row, column in hidden.nonzero().tolist():
            others = (self._space.free[row] & ~guess.masked[row]).nonzero().flatten()
            order = slopes[row, others].argsort()
            for other in others[order][: self._candidates].tolist():
                masked = guess.masked.clone()
                masked[row, column], masked[row, other] = False, True
                yield Guess(guess.tokens, masked, guess.classes)

    def _classified(self, guess: Guess, slopes: Tensor) -> Iterator[Guess]:
        """Yield guesses with another class of one text."""
        for row, costs in enumerate(slopes):
            for label in costs.argsort()[: self._candidates].tolist():
                if label != guess.classes[row]:
                    classes = guess.classes.clone()
                    classes[row] = label
                    yield Guess(guess.tokens, guess.masked, classes)
