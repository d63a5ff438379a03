"""Conversion of a model's tokens to displayed tokens."""

from __future__ import annotations

from torch import Tensor

from fedsim.models import TextModel


class Reader:
    """Converts rows of a model's tokens to displayed tokens.

    Args:
        model: the language model.
    """

    def __init__(self, model: TextModel) -> None:
        self._vocabulary = model.vocabulary
        specials = model.vocabulary.specials
        self._first = 0 if model.causal or specials.first is None else 1
        self._pad, self._unknown = specials.pad, model.vocabulary.unknown

    def content(self, row: Tensor, original: Tensor) -> list[str]:
        """Return the tokens of a text without the special tokens at its ends.

        Args:
            row: ``(L,)``, the private text or a reconstruction of it.
            original: ``(L,)``, the private text, whose length is public.
        """
        end = int((original != self._pad).sum()) - 1
        return self._vocabulary.words(row[self._first : end].tolist())

    def readable(self, words: list[str], original: Tensor) -> list[str]:
        """Return displayed tokens without those at positions that the vocabulary cannot express.

        Args:
            words: the tokens of the private text, or of a guess at it.
            original: ``(L,)``, the private text.
        """
        tokens = original[self._first :][: len(words)].tolist()
        known = [w for w, t in zip(words, tokens, strict=False) if t != self._unknown]
        return known + words[len(tokens) :]
