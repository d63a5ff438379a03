"""Space of texts: token embeddings and soft labels."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.attacks.matching.space import Batch, Space
from fedsim.attacks.text.bag import bag_of_tokens, in_order
from fedsim.attacks.text.model import middle, text_model
from fedsim.attacks.text.tables import Tables, frame_of
from fedsim.attacks.types import Observation, Reconstruction, Status
from fedsim.core.modality import TEXTS
from fedsim.core.tasks import MASKED_SHARE, Task

_SHARPNESS = 5.0
"""Factor on the logits of a token for a label's code of the length of its embedding."""


_OPINION = 3.0
"""Logarithm of the weight of a position that is taken to be masked, less that of another."""


class EmbeddingSpace(Space):
    """Word embeddings in place of tokens, and soft labels where a model predicts tokens.

    Zhu, Liu, Han, NeurIPS 2019 (arXiv 1906.08935, section 4.2) apply DLG to BERT in the space of
    its embeddings and read tokens back as the closest entries of the table. Here a text of L
    tokens is ``(L, D)`` numbers in units of the table's standard deviation. A soft label is
    ``softmax(E u)`` with the table E and a code u of D numbers for each position: a row over the
    whole vocabulary from the few directions that the tied output layer can tell apart. Which
    positions are masked is not known: each has a weight, the mean loss is the weighted one.

    Known are the special tokens at both ends and the lengths. Besides we read back differently. A
    transformer sees the sum of a token and its position, so an exact solution may hold the tokens
    in another order, each with the difference of two positions added. Tokens and positions are
    therefore read together: every slot is compared with every token at every position, and slots
    are given positions one to one.

    Attributes:
        known: the tokens that are known ``(B, L)``, else -1.
        real: 1 where a text has a token ``(B, L)``, 0 where it is filled up.

    With ``read_positions=False`` each token is read at its own position.
    """

    modality = TEXTS
    relaxed = True

    def __init__(
        self,
        model: nn.Module,
        observation: Observation,
        dtype: torch.dtype,
        *,
        read_positions: bool = True,
    ) -> None:
        texts = text_model(model)
        [length] = observation.input_shape
        self._model, self._task, self._read_positions = texts, texts.task, read_positions
        self._table = texts.table.detach()
        self._count, self._length, self._width = (
            observation.batch_size,
            length,
            texts.table.shape[1],
        )
        self.shape = (self._count, length, self._width + 1)
        self.labelled = self._task is not Task.CLASSIFY
        self.indirect = {texts.table_name}
        self._cells = self._count * length
        self.size = self._cells * (self._width * (2 if self.labelled else 1))
        self.size += self._cells if self._task is Task.MASKED else 0
        self._unit, self._word_norm = self._table.std(), self._table.norm(dim=1).mean()
        self._tables = Tables(texts, bag_of_tokens(texts, observation))
        self.known = frame_of(texts, observation)
        self.real = (self.known != texts.specials.pad).to(self._table)
        self._fixed = (self.known >= 0)[..., None]
        self._frame = texts.embed(self.known.clamp(min=0))[..., :-1].detach()

    @classmethod
    def neutral(cls, model: nn.Module, shape: tuple[int, ...]) -> Tensor:
        """Return one text of mean embeddings, ``(1, L, D + 1)``."""
        return middle(text_model(model), *shape)

    @classmethod
    def read(cls, model: nn.Module, observation: Observation) -> Reconstruction | None:
        """Return a single text's inputs if the embeddings' gradients give them away.

        Mask tokens stay: the tokens behind them are not among the inputs.
        """
        texts = text_model(model)
        bag = bag_of_tokens(texts, observation)
        if bag is None:
            return None
        ordered = in_order(texts, observation, bag, frame_of(texts, observation))
        if ordered is None:
            return None
        tokens, unexplained = ordered
        return Reconstruction(tokens.cpu(), None, unexplained, unexplained, Status.COMPUTED)

    def for_observation(self, observation: Observation) -> EmbeddingSpace:
        """Return the space that reads tokens among those that a victim's upload gives away."""
        bag = bag_of_tokens(self._model, observation)
        if bag is None:
            return self
        other = copy.copy(self)
        other._tables = Tables(self._model, bag)
        return other

    def start(self, kind: str, generator: torch.Generator) -> Tensor:
        """Return embeddings of N(0, 1) in units of the table's, and labels without an opinion."""
        embeddings = torch.randn(self._cells * self._width, generator=generator)
        if kind != "normal":
            embeddings = 0.1 * embeddings
        return torch.cat([embeddings, torch.zeros(self.size - len(embeddings))])

    def from_initial(self, initial: Reconstruction, start: Tensor) -> Tensor:
        """Return the embeddings of the initial tokens; a mask token is taken to be predicted."""
        if initial.data is None:
            return start
        embeddings = self.encode(initial.data)
        others = start[len(embeddings) :].clone()
        mask = self._model.specials.mask
        if self._task is Task.MASKED and mask is not None:
            masked = initial.data.flatten().eq(mask)
            others[-self._cells :] = torch.where(masked, _OPINION, -_OPINION)
        return torch.cat([embeddings.to(start), others])

    def encode(self, tokens: Tensor) -> Tensor:
        """Return the embeddings of tokens ``(B, L)`` as a lane has them, ``(B L D,)``."""
        embeddings = self._model.embed(tokens.to(self._table.device))[..., :-1] / self._unit
        return embeddings.detach().flatten()

    def batch(self, point: Tensor) -> Batch:
        """Return embeddings ``(B, L, D + 1)``, and soft labels ``(B, L, V)`` times weights."""
        embeddings, codes, weights = self._parts(point[None])
        inputs = torch.cat([embeddings[0], self.real[..., None]], dim=-1)
        if codes is None or weights is None:
            return Batch(inputs, None, inputs)
        labels = torch.softmax(_SHARPNESS * self._logits(codes[0]), dim=-1)
        return Batch(inputs, weights[0][..., None] * labels, inputs)

    def given(self, data: Tensor, target: Tensor) -> Batch:
        """Return the embeddings of tokens, and their labels unchanged."""
        inputs = self._model.embed(data).detach()
        return Batch(inputs, target, inputs)

    def decode(self, points: Tensor) -> Tensor:
        """Return the nearest tokens ``(A, B, L)``."""
        embeddings, codes, weights = self._parts(points)
        labels = torch.full(embeddings.shape[:-1], -1, device=embeddings.device)
        if self._task is Task.MASKED and codes is not None and weights is not None:
            labels = torch.where(self._masked(weights), self._tables.nearest(codes), -1)
        lanes = zip(embeddings, labels, strict=True)
        return torch.stack([self._read(lane, masked) for lane, masked in lanes])

    def project(self, points: Tensor) -> Tensor:
        """Return the points unchanged, because embedding space has no bounds."""
        return points

    def _parts(self, points: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return embeddings ``(A, B, L, D)``, codes of labels alike, and weights ``(A, B, L)``."""
        size, shape = self._cells * self._width, (-1, self._count, self._length, self._width)
        embeddings = points[:, :size].reshape(shape) * self._unit
        embeddings = torch.where(self._fixed, self._frame, embeddings)
        if not self.labelled:
            return embeddings, None, None
        codes = points[:, size : 2 * size].reshape(shape)
        if self._task is Task.NEXT:
            # Each token of a text predicts the next one; the last has none, and padding neither.
            followed = torch.cat([self.real[:, 1:], torch.zeros_like(self.real[:, :1])], dim=1)
            return embeddings, codes, followed.expand(codes.shape[:-1])
        weights = points[:, 2 * size :].reshape(shape[:-1]).exp()
        return embeddings, codes, weights * (self.known < 0)

    def _logits(self, codes: Tensor) -> Tensor:
        logits: Tensor = codes @ self._table.T / self._word_norm
        return logits

    def _masked(self, weights: Tensor) -> Tensor:
        """Return a mask of the masked positions: of each text the share that the task has."""
        free = (self.known < 0).sum(1)
        count = (MASKED_SHARE * free).round().clamp(min=1)
        rank = weights.masked_fill(self.known >= 0, -1.0).argsort(-1, descending=True).argsort(-1)
        return rank < count[:, None]

    def _read(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the tokens of one lane, each text in its likeliest order.

        Args:
            embeddings: ``(B, L, D)``.
            labels: ``(B, L)``, what is predicted where a slot is masked, else -1.
        """
        # Loaded only for attacks on texts.
        from scipy.optimize import (  # type: ignore[import-untyped]  # noqa: PLC0415
            linear_sum_assignment,
        )

        rows = []
        for text, masked, known in zip(embeddings, labels, self.known, strict=True):
            free = (known < 0).nonzero().flatten()
            row = known.clone()
            if len(free):
                tokens, distances = self._tables.tokens_and_positions(text[free], free)
                hidden = masked[free] >= 0
                if hidden.any():
                    as_mask = self._tables.mask_and_positions(text[free], free)
                    distances = torch.where(hidden[:, None], as_mask, distances)
                    tokens = torch.where(hidden[:, None], masked[free][:, None], tokens)
                slots = positions = np.arange(len(free))
                if self._read_positions:
                    slots, positions = linear_sum_assignment(distances.cpu().numpy())
                row[free[positions]] = tokens[slots, positions]
            rows.append(row)
        return torch.stack(rows)
