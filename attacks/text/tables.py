"""The nearest tokens and positions of vectors, by a model's embedding tables."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedsim.attacks.text.bag import Bag
from fedsim.attacks.text.model import TextModel, as_module
from fedsim.attacks.types import Observation


class Tables:
    """The embeddings of the tokens that can be in a batch.

    Attributes:
        candidates: the possible tokens, ``(n,)``.

    Args:
        model: the attacked model.
        bag: the tokens that the upload gives away, if any: then only those are possible.
    """

    def __init__(self, model: TextModel, bag: Bag | None) -> None:
        self._model = model
        self._table = model.table.detach()
        self._positions = position_table(model)
        possible = [t for t in range(len(self._table)) if not model.is_special(t)]
        if bag is not None and bag.tokens:
            possible = sorted(bag.tokens)
        self.candidates = torch.tensor(possible, device=self._table.device)
        self._unit_candidates = nn.functional.normalize(self._table[self.candidates], dim=-1)

    def nearest(self, vectors: Tensor) -> Tensor:
        """Return the possible tokens ``(...)`` of the least angle to vectors ``(..., D)``."""
        tokens, _ = self._nearest(vectors)
        return tokens

    def tokens_and_positions(self, vectors: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Compare vectors with every possible token, as if it stood at each position.

        Args:
            vectors: ``(n, D)``, the tokens of a solution, the k-th at ``positions[k]``.
            positions: ``(n,)``.

        Returns:
            ``(n, n)`` each: the nearest token if vector i stood for position j, and 1 less the
            cosine.
        """
        tokens, likeness = self._nearest(self._moved(vectors, positions))
        return tokens, 1 - likeness

    def mask_and_positions(self, vectors: Tensor, positions: Tensor) -> Tensor:
        """Return `tokens_and_positions`' distances to the token in place of a masked one."""
        mask = self._table[self._model.specials.mask]
        return 1 - nn.functional.cosine_similarity(self._moved(vectors, positions), mask, dim=-1)

    def _moved(self, vectors: Tensor, positions: Tensor) -> Tensor:
        """Return the embeddings ``(n, n, D)`` that vectors would be at other positions."""
        if self._positions is None:
            return vectors[:, None].expand(-1, len(positions), -1)
        at = self._positions[positions]
        # Each vector plus its own position's embedding is what the network saw.
        return (vectors + at)[:, None] - at[None]

    def _nearest(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        unit = nn.functional.normalize(vectors, dim=-1)
        best = (unit @ self._unit_candidates.T).max(-1)
        return self.candidates[best.indices], best.values


def frame_of(model: TextModel, observation: Observation) -> Tensor:
    """Return the known tokens of a batch ``(B, L)``, else -1."""
    specials = model.specials
    [length] = observation.input_shape
    lengths = observation.lengths or (length,) * observation.batch_size
    frame = torch.full((len(lengths), length), -1)
    for row, count in zip(frame, lengths, strict=True):
        row[count:] = specials.pad
        row[count - 1] = specials.last
        if specials.first is not None and not model.causal:
            row[0] = specials.first
    return frame.to(model.table.device)


def position_table(model: TextModel) -> Tensor | None:
    """Return the position embeddings ``(positions, D)``, or None if there is no such table."""
    if model.position_name is None:
        return None
    return as_module(model).get_parameter(model.position_name).detach()
