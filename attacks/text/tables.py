"""What a model's embedding tables tell of vectors: which word, at which place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedsim.attacks.text.bag import Bag
from fedsim.attacks.text.model import TextModel, as_module
from fedsim.attacks.types import Observation


class Tables:
    """The words that can be in a batch.

    Attributes:
        candidates: the possible words, ``(n,)``.

    Args:
        model: the attacked model.
        bag: what the upload tells of the words, if anything: then only those are possible.
    """

    def __init__(self, model: TextModel, bag: Bag | None) -> None:
        self._model = model
        self._words = model.table.detach()
        self._places = positions(model)
        possible = [t for t in range(len(self._words)) if not model.is_special(t)]
        if bag is not None and bag.tokens:
            possible = sorted(bag.tokens)
        self.candidates = torch.tensor(possible, device=self._words.device)
        self._unit_words = nn.functional.normalize(self._words[self.candidates], dim=-1)

    def nearest(self, vectors: Tensor) -> Tensor:
        """Return the possible words ``(...)`` of the least angle to vectors ``(..., D)``."""
        tokens, _ = self._nearest(vectors)
        return tokens

    def words_and_places(self, vectors: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Compare vectors with every possible word, as if it stood at each place.

        Args:
            vectors: ``(n, D)``, the words of a solution, the k-th at ``places[k]``.
            places: ``(n,)``.

        Returns:
            ``(n, n)`` each: the nearest word if vector i stood for place j, and 1 less the cosine.
        """
        tokens, likeness = self._nearest(self._moved(vectors, places))
        return tokens, 1 - likeness

    def mask_and_places(self, vectors: Tensor, places: Tensor) -> Tensor:
        """Return `words_and_places`' distances to the token in place of a masked one."""
        mask = self._words[self._model.specials.mask]
        return 1 - nn.functional.cosine_similarity(self._moved(vectors, places), mask, dim=-1)

    def _moved(self, vectors: Tensor, places: Tensor) -> Tensor:
        """Return the words ``(n, n, D)`` that vectors would be at other places than their own."""
        if self._places is None:
            return vectors[:, None].expand(-1, len(places), -1)
        at = self._places[places]
        # Each vector plus its own place's embedding is what the network saw.
        return (vectors + at)[:, None] - at[None]

    def _nearest(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        unit = nn.functional.normalize(vectors, dim=-1)
        best = (unit @ self._unit_words.T).max(-1)
        return self.candidates[best.indices], best.values


def frame_of(model: TextModel, observation: Observation) -> Tensor:
    """Return a batch's tokens as far as they are known ``(B, L)``; elsewhere -1."""
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


def positions(model: TextModel) -> Tensor | None:
    """Return the position embeddings ``(positions, D)``, or None if there is no such table."""
    if model.position_name is None:
        return None
    return as_module(model).get_parameter(model.position_name).detach()
