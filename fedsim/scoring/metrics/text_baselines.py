"""Blind baselines for texts: guesses made without the gradient.

They know what an attacker knows without it: public texts, the length, and the class, which the
gradient of the last layer gives away in any case.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, cached_property

from fedsim.core.names import NEAREST
from fedsim.scoring.metrics.text_likeliest import likeliest_text
from fedsim.scoring.metrics.texts import score_text

RANDOM = "random"
FREQUENT = "frequent"
MODEL = "model"
LIKELIEST = "likeliest"

_DRAWS = 20


class TextBaselines:
    """Blind guesses from public texts.

    Args:
        public: the public texts' tokens.
        vocabulary: all tokens that a text may have.
        model_guess: returns the model's unconditional guess for a text of a given number of
            tokens, or None if it has none.
        kinds: the class of each public text, if it has one.
    """

    def __init__(
        self,
        public: Sequence[Sequence[str]],
        vocabulary: Sequence[str],
        model_guess: Callable[[int], list[str] | None] = lambda length: None,
        kinds: Sequence[int] = (),
    ) -> None:
        self._public, self._vocabulary, self._kinds = public, vocabulary, kinds
        self._model_guess = model_guess
        self._likeliest = cache(self._find_likeliest)

    def guesses(
        self, reference: Sequence[str], own: Sequence[int] = (), kind: int | None = None
    ) -> dict[str, list[str]]:
        """Return each baseline's tokens for one private text, whose length is public.

        ``random``: tokens drawn uniformly from the vocabulary, the draw with the median ROUGE-L of
        20. ``frequent``: the most frequent public token at each position. ``likeliest``: the most
        probable text by a language model of the public texts of the same class
        (`likeliest_text`). ``model``: the model's unconditional guess. ``nearest``: the public
        text with the greatest ROUGE-L, which is not a blind guess: it shows the best score of a
        public text.

        Args:
            reference: the private tokens.
            own: positions of public texts that serve as private data here.
            kind: the private text's class; None if the task has none.
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
        likeliest = self._likeliest(length, tuple(own), kind)
        if likeliest is not None:
            made[LIKELIEST] = list(likeliest)
        others = [list(text) for n, text in enumerate(self._public) if n not in own and text]
        if others:
            made[NEAREST] = max(others, key=likeness)
        return made

    def _find_likeliest(
        self, length: int, own: tuple[int, ...], kind: int | None
    ) -> tuple[str, ...] | None:
        others = [(n, text) for n, text in enumerate(self._public) if n not in own and text]
        alike = [text for n, text in others if n < len(self._kinds) and self._kinds[n] == kind]
        known = alike or [text for _, text in others]
        return tuple(likeliest_text(known, length)) if known else None

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
