"""Blind baselines for texts: guesses made without the gradient."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property

from fedsim.core.names import NEAREST
from fedsim.scoring.metrics.texts import score_text

RANDOM = "random"
FREQUENT = "frequent"
MODEL = "model"

_DRAWS = 20


class TextBaselines:
    """Blind guesses from public texts.

    Args:
        public: the public texts' tokens.
        vocabulary: all tokens that a text may have.
        model_guess: returns the model's unconditional guess for a text of a given number of
            tokens, or None if it has none.
    """

    def __init__(
        self,
        public: Sequence[Sequence[str]],
        vocabulary: Sequence[str],
        model_guess: Callable[[int], list[str] | None] = lambda length: None,
    ) -> None:
        self._public, self._vocabulary = public, vocabulary
        self._model_guess = model_guess

    def guesses(self, reference: Sequence[str], own: Sequence[int] = ()) -> dict[str, list[str]]:
        """Return each baseline's tokens for one private text, whose length is public.

        ``random``: tokens drawn uniformly from the vocabulary, the draw with the median ROUGE-L of
        20. ``frequent``: the most frequent public token at each position. ``model``: the model's
        unconditional guess. ``nearest``: the public text with the greatest ROUGE-L, which is not
        a blind guess: it shows the best score of a public text.

        Args:
            reference: the private tokens.
            own: positions of public texts that serve as private data here.
        """

        def likeness(guess: Sequence[str]) -> tuple[float, float]:
            scores = score_text(guess, reference)
            return scores.rouge_l, scores.rouge1

        length = len(reference)
        draws = sorted(self._random(length), key=likeness)
        made = {RANDOM: draws[len(draws) // 2], FREQUENT: self._frequent(length)}
        from_model = self._model_guess(length)
        if from_model is not None:
            made[MODEL] = from_model
        others = [list(text) for n, text in enumerate(self._public) if n not in own and text]
        if others:
            made[NEAREST] = max(others, key=likeness)
        return made

    def _random(self, length: int) -> list[list[str]]:
        rng = random.Random(length)  # noqa: S311  (not a secret)
        return [rng.choices(self._vocabulary, k=length) for _ in range(_DRAWS)]

    def _frequent(self, length: int) -> list[str]:
        [(usual, _)] = self._overall.most_common(1)
        guess = []
        for place in range(length):
            here = Counter(text[place] for text in self._public if place < len(text))
            guess.append(here.most_common(1)[0][0] if here else usual)
        return guess

    @cached_property
    def _overall(self) -> Counter[str]:
        return Counter(token for text in self._public for token in text)
