"""Space of tokens: a weight for each entry of the vocabulary at each position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.attacks.matching.space import Batch, Space
from fedsim.attacks.text.model import text_model
from fedsim.attacks.text.tables import frame_of
from fedsim.attacks.types import Observation, Reconstruction
from fedsim.core.modality import TEXTS
from fedsim.core.tasks import MASKED_SHARE, Task


class Parts(NamedTuple):
    """The unknowns of a batch of texts, or the slopes of an objective by them.

    Attributes:
        tokens: ``(B, L, V)``, the weight of each token at each position.
        masked: ``(B, L)``, 1 where a token is masked; of no columns if the task masks none.
        classes: ``(B, classes)``, weights of a text's class; of no columns if it is not unknown.
    """

    tokens: Tensor
    masked: Tensor
    classes: Tensor


class TokenSpace(Space):
    """Texts as weights over the vocabulary, which are 0 and 1 for tokens.

    The upload of a text is differentiable by these weights, so that one derivative tells for every
    token at every position what it would change, to first order (Ebrahimi et al., HotFlip, ACL
    2018, arXiv 1712.06751). Rows of the token embedding's gradient are part of the upload: tokens
    are looked up in the table.

    Attributes:
        known: the tokens that are known ``(B, L)``, else -1.
        free: whether a position's token is unknown ``(B, L)``.
        ordinary: the tokens that can be part of a text ``(n,)``.
        masks: number of masked tokens of each text ``(B,)``; zeros if the task masks none.
    """

    modality = TEXTS

    def __init__(
        self,
        model: nn.Module,
        observation: Observation,
        dtype: torch.dtype,
        *,
        read_positions: bool = True,
    ) -> None:
        texts = text_model(model)
        self._model, self._task = texts, texts.task
        entries, width = texts.table.shape
        self._table = texts.table.detach()
        self.known = frame_of(texts, observation)
        self.free = self.known < 0
        count, length = self.known.shape
        self.shape = (count, length, width + 1)
        unlabelled = self._task is Task.CLASSIFY and observation.labels is None
        self.labelled = self._task is not Task.CLASSIFY or unlabelled
        masks = self._task is Task.MASKED
        self._shapes = (
            (count, length, entries),
            (count, length if masks else 0),
            (count, texts.num_outputs if unlabelled else 0),
        )
        self.size = sum(torch.Size(shape).numel() for shape in self._shapes)
        self._real = (self.known != texts.specials.pad).to(self._table)
        ordinary = [t for t in range(entries) if not texts.is_special(t)]
        self.ordinary = torch.tensor(ordinary, device=self._table.device)
        number = (MASKED_SHARE * self.free.sum(1)).round().clamp(min=1).long()
        self.masks = number if masks else torch.zeros_like(number)

    def start(self, kind: str, generator: torch.Generator) -> Tensor:
        """Return the point at which all tokens, masks and classes are equally likely."""
        tokens = torch.zeros(self._shapes[0])
        tokens[..., self.ordinary.cpu()] = 1 / len(self.ordinary)
        known = self._one_hot(self.known).cpu()
        tokens = torch.where(self.free.cpu()[..., None], tokens, known)
        masked, classes = torch.zeros(self._shapes[1]), torch.zeros(self._shapes[2])
        if masked.shape[1]:
            share = self.masks / self.free.sum(1).clamp(min=1)
            masked = (share[:, None] * self.free).cpu()
        if classes.shape[1]:
            classes = classes + 1 / classes.shape[1]
        return torch.cat([tokens.flatten(), masked.flatten(), classes.flatten()])

    def from_initial(self, initial: Reconstruction, start: Tensor) -> Tensor:
        """Return the point of an initial reconstruction's tokens; other unknowns as in ``start``.

        Tokens at known positions are ignored.
        """
        if initial.data is None:
            return start
        parts = self.parts(start)
        tokens = self._one_hot(initial.data.to(start.device)).to(start)
        free = self.free.to(start.device)[..., None]
        return self.point(parts._replace(tokens=torch.where(free, tokens, parts.tokens)))

    def parts(self, point: Tensor) -> Parts:
        """Return the parts of a point, or of slopes ``(size,)``."""
        sizes = [torch.Size(shape).numel() for shape in self._shapes]
        each = torch.split(point, sizes)
        return Parts(*(part.view(s) for part, s in zip(each, self._shapes, strict=True)))

    def point(self, parts: Parts) -> Tensor:
        """Return the point ``(size,)`` of its parts."""
        return torch.cat([part.flatten() for part in parts])

    def batch(self, point: Tensor) -> Batch:
        """Return the weights ``(B, L, V + 1)``, the last 1 for a token, and the labels."""
        tokens, masked, classes = self.parts(point)
        if self._task is Task.CLASSIFY:
            return self._batch(tokens, classes if self.labelled else None, tokens)
        if self._task is Task.NEXT:
            # Each token of a text predicts the next one; the last has none, and padding neither.
            following = torch.cat([tokens[:, 1:], torch.zeros_like(tokens[:, :1])], dim=1)
            return self._batch(tokens, following, tokens)
        hidden = masked[..., None]
        mask = self._one_hot(torch.tensor(self._model.specials.mask, device=tokens.device))
        inputs = (1 - hidden) * tokens + hidden * mask.to(tokens)
        return self._batch(inputs, hidden * tokens, tokens)

    def given(self, data: Tensor, target: Tensor) -> Batch:
        """Return the weights of tokens, and their labels unchanged."""
        inputs = self._one_hot(data)
        behind = target if self._task is Task.MASKED else torch.zeros_like(inputs)
        return self._batch(inputs, target, torch.where(behind.sum(-1, True) > 0, behind, inputs))

    def decode(self, points: Tensor) -> Tensor:
        """Return the tokens ``(A, B, L)`` of the largest weights."""
        tokens = torch.stack([self.parts(point).tokens for point in points])
        best = self.ordinary[tokens[..., self.ordinary].argmax(-1)]
        return torch.where(self.free, best, self.known)

    def project(self, points: Tensor) -> Tensor:
        """Return the points unchanged: the search takes weights of 0 and 1 alone."""
        return points

    def entering(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Return the embeddings ``(B, L, D + 1)`` of weights, differentiable by the table."""
        table = parameters.get(self._model.table_name, self._table)
        return torch.cat([inputs[..., :-1] @ table.to(inputs), inputs[..., -1:]], dim=-1)

    def _batch(self, weights: Tensor, target: Tensor | None, tokens: Tensor) -> Batch:
        """Return the batch of inputs, whose tokens without masks priors judge."""
        real = self._real.to(weights)[..., None]
        return Batch(torch.cat([weights, real], -1), target, torch.cat([tokens, real], -1))

    def _one_hot(self, tokens: Tensor) -> Tensor:
        """Return rows ``(..., V)``, zeros for a token without an entry."""
        entries = len(self._table)
        inside = (tokens >= 0) & (tokens < entries) & (tokens != self._model.specials.pad)
        rows = F.one_hot(tokens.clamp(0, entries - 1), entries)
        return (rows * inside[..., None]).to(self._table)
