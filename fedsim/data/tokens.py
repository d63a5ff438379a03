"""Data sets of texts: raw, and tokenised for a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor

from fedsim.core.errors import DataError
from fedsim.core.seeds import derive
from fedsim.core.tasks import IGNORED, MASKED_SHARE, Specials, Task
from fedsim.data.types import Examples, IndexArray

LENGTHS_KEY = "token-lengths"
"""Metric in which clients report the sorted lengths of their texts."""


@dataclass(frozen=True)
class Texts:
    """The texts and labels of one part of a data set.

    Attributes:
        texts: one string each.
        labels: the number of each text's class.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class TextDataset:
    """A data set of texts before tokenisation.

    Attributes:
        name: name in reports.
        train: the texts that are shared out among the clients.
        test: the texts that no client holds; public.
        classes: the name of each label, in the order of the labels.
    """

    name: str
    train: Texts
    test: Texts
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for part, split in (("training", self.train), ("test", self.test)):
            if len(split) == 0:
                raise DataError(
                    f"the data set {self.name!r} has no {part} texts: give it more texts"
                )


@dataclass(frozen=True, eq=False)
class TokenSplit(Examples):
    """Tokenised texts for a training task.

    Attributes:
        tokens: ``(N, T)`` int64, including special tokens, padded.
        labels: ``(N,)`` int64, the class of each text.
        task: the training task.
        specials: the special tokens.
    """

    tokens: Tensor
    labels: Tensor
    task: Task
    specials: Specials

    ragged: ClassVar[bool] = True
    at_once: ClassVar[int] = 32
    """A text has a row of logits over the whole vocabulary for each of its tokens."""

    def batch(self, indices: IndexArray, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return a batch of inputs and the labels to predict.

        A pure function of its arguments. Masking follows the task of Devlin et al., BERT, 2019
        (arXiv 1810.04805, section 3.1), with 15 % of a text's tokens chosen, at least one. Every
        chosen token is masked, as in Zhu, Liu, Han 2019 (arXiv 1906.08935, section 4.2); BERT
        keeps some of them and replaces others.

        Args:
            indices: ``(B,)`` positions in this split.
            seed: determines which tokens are masked.

        Returns:
            Tokens ``(B, L)`` int64, padded to the longest of the batch. Labels ``(B,)`` for
            classification, else ``(B, L)`` with `IGNORED` where nothing is predicted.
        """
        rows = torch.from_numpy(np.array(indices, dtype=np.int64))
        tokens = self.tokens[rows]
        real = tokens != self.specials.pad
        longest = max(1, int(real.sum(1).max()))
        tokens, real = tokens[:, :longest], real[:, :longest]
        if self.task is Task.CLASSIFY:
            return tokens, self.labels[rows]
        labels = torch.full_like(tokens, IGNORED)
        if self.task is Task.NEXT:
            following = torch.where(real, tokens, IGNORED)[:, 1:]
            labels[:, :-1] = following
            return tokens, labels
        chosen = self._chosen(tokens, derive(seed, "masking"))
        labels[chosen] = tokens[chosen]
        return tokens.masked_fill(chosen, self._mask()), labels

    def originals(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the original tokens ``(B, L)`` of a batch, with masks undone."""
        if self.task is not Task.MASKED:
            return inputs
        return torch.where(labels == IGNORED, inputs, labels)

    def join(self, batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Concatenate batches, with padding for the shorter texts."""
        longest = max(x.shape[1] for x, _ in batches)

        def padded(rows: Tensor, value: int) -> Tensor:
            return F.pad(rows, (0, longest - rows.shape[1]), value=value) if rows.ndim > 1 else rows

        inputs = torch.cat([padded(x, self.specials.pad) for x, _ in batches])
        return inputs, torch.cat([padded(y, IGNORED) for _, y in batches])

    def lengths(self, batches: Sequence[Tensor]) -> list[int]:
        """Return the sorted lengths of the texts of batches, including special tokens."""
        return sorted(n for b in batches for n in (b != self.specials.pad).sum(1).tolist())

    def example_shape(self, lengths: Sequence[int]) -> tuple[int, ...]:
        """Return the number of tokens of the longest text."""
        return (max(lengths),)

    def rows(self) -> list[list[int]]:
        """Return each text's tokens, without padding."""
        return [[t for t in row if t != self.specials.pad] for row in self.tokens.tolist()]

    def _mask(self) -> int:
        if self.specials.mask is None:
            raise DataError("this model's vocabulary has no mask token: use another task")
        return self.specials.mask

    def _chosen(self, tokens: Tensor, seed: int) -> Tensor:
        """Draw the tokens of each text to mask; special tokens are never masked."""
        special = [t for t in (self.specials.first, self.specials.last) if t is not None]
        ordinary = ~torch.isin(tokens, torch.tensor([self.specials.pad, *special]))
        generator = torch.Generator().manual_seed(seed)
        rank = torch.rand(tokens.shape, generator=generator).masked_fill(~ordinary, 2.0)
        place = rank.argsort(1).argsort(1)
        count = (MASKED_SHARE * ordinary.sum(1)).round().clamp(min=1).long()
        return (place < count[:, None]) & ordinary


@dataclass(frozen=True, eq=False)
class TokenDataset:
    """A data set of tokenised texts.

    Attributes:
        name: name in reports.
        train: the texts that are shared out among the clients.
        test: the texts that no client holds; public.
        classes: the name of each label, in the order of the labels.
    """

    name: str
    train: TokenSplit
    test: TokenSplit
    classes: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Number of classes of texts."""
        return len(self.classes)
