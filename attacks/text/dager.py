"""DAGER: exact texts from the span of attention gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedsim.attacks.text.layers import AttentionInputs, mostly_outside, outside, span
from fedsim.attacks.text.masked import fill_masked
from fedsim.attacks.text.model import TextModel
from fedsim.attacks.text.reading import TextReading
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS
from fedsim.core.seeds import derive

_AT_ONCE = 4096
"""Tokens that are compared with the span together."""

_SHORTLIST = 32
"""Tokens for each text of a batch that are compared exactly, after a quick comparison of all."""

Found = tuple[Tensor, float]
"""A text's tokens ``(L,)``, and its distance from the second layer's span."""


@ATTACKS.register("dager")
class Dager(TextReading):
    """DAGER: exact texts, by testing which tokens lie in the span of attention gradients.

    Petrov et al., NeurIPS 2024 (arXiv 2405.15586). A token is possible at a position if what it
    would feed into the first attention layer lies in the row space of that layer's gradient
    (section 4.1). Of a decoder, texts are then grown position by position, each prefix checked
    against the second layer (4.2). Of an encoder, one text follows at once; several are separated
    by their inputs to the second layer.

    Differences: queries, keys and values are used together; the lengths of the texts are public,
    where the paper finds them; an encoder's texts are not enumerated, but searched for by changing
    one token at a time from several starts, as the distance to the second layer's span falls with
    every right token. Where nothing lies in the span (noise, pruning) the nearest tokens are taken,
    so that results fade and do not fail. The tokens behind mask tokens are read off the head's
    gradient (`fill_masked`), of which the paper has none.

    Tokens and positions add up in front of the first layer: a batch with the token a at positions 1
    and 2 and b at 2 has b at 1 in its span too. The more tokens the texts of a batch share (every
    mask token is one), the more such ghosts there are, and the more often an encoder's texts are
    mixed up; a decoder's are not, as each prefix is checked.
    """

    tolerance: Annotated[
        float, Field(gt=0, lt=1, description="distance from the span up to which a token is in it")
    ] = 1e-3
    restarts: Annotated[
        int,
        Field(
            ge=1, description="number of starts of the search for each text of a batch (encoders)"
        ),
    ] = 20
    beam: Annotated[
        int, Field(ge=1, description="number of prefixes kept for each text of a batch (decoders)")
    ] = 8

    def _read(
        self, model: TextModel, observation: Observation, frame: Tensor, seed: int
    ) -> tuple[Tensor, float]:
        """Return a batch's texts, and their mean distance from the second layer's span."""
        search = _Search(self, model, observation, frame, seed)
        found = search.grow() if model.causal else search.separate()
        tokens = torch.full_like(frame, model.specials.pad)
        for row, (text, _) in zip(tokens, found, strict=True):
            row[: len(text)] = text
        distance = sum(d for _, d in found) / len(found)
        return fill_masked(model, observation, tokens), distance


class _Search:
    """Search for the texts of one batch."""

    def __init__(
        self, attack: Dager, model: TextModel, observation: Observation, frame: Tensor, seed: int
    ) -> None:
        if not model.projections:
            raise AttackError(
                "the model names no modules for queries, keys and values, which this attack reads "
                "here; use 'dlg'"
            )
        self._attack, self._model, self._frame = attack, model, frame
        self._inputs = AttentionInputs(model)
        most = int((frame != model.specials.pad).sum())
        self._layer = min(1, len(model.projections) - 1)  # texts are checked against this layer
        self._spans = [span(model, observation, k, most) for k in (0, self._layer)]
        width = self._spans[0].shape[0]
        if self._spans[0].shape[1] >= width:
            raise AttackError(
                f"the batch has {most} tokens, but the layers have a width of {width}: with "
                "as many tokens as dimensions every token lies in the span; attack smaller "
                "batches or wider models"
            )
        self._generator = torch.Generator().manual_seed(derive(seed, "dager"))
        self._lengths = (frame != model.specials.pad).sum(1).tolist()
        self._possible = self._candidates()

    def _candidates(self) -> list[Tensor]:
        """Return the tokens that are possible at each position of the longest text."""
        model, longest = self._model, max(self._lengths)
        mask = model.specials.mask
        every = [t for t in range(model.table.shape[0]) if t == mask or not model.is_special(t)]
        tokens = torch.tensor(every, device=self._frame.device)
        rows = tokens[:, None].expand(-1, longest)
        chunks = [
            mostly_outside(self._inputs.of(part, 0), self._spans[0])
            for part in torch.split(rows, 4096)
        ]
        distances, few = torch.cat(chunks), min(len(tokens), _SHORTLIST * len(self._lengths))
        possible = []
        for position in range(longest):
            short = distances[:, position].topk(few, largest=False).indices
            inputs = self._inputs.of(rows[short], 0)[:, position]
            away = outside(inputs, self._spans[0])
            order = away.argsort()
            inside = int((away < self._attack.tolerance).sum())
            possible.append(tokens[short[order[: inside or len(self._lengths)]]])
        return possible

    def distances(self, texts: Tensor, position: int | None = None) -> Tensor:
        """Return the mean distance of texts ``(N, L)`` from the second layer's span.

        Args:
            texts: of one length, without padding.
            position: compare at this position alone; None for all.
        """
        away = outside(self._inputs.of(texts, self._layer), self._spans[1])
        return away.mean(1) if position is None else away[:, position]

    def grow(self) -> list[Found]:
        """Return a decoder's texts, grown position by position.

        A text that ends is one that no token continues: a longer text's beginning goes on.
        """
        prefixes = torch.zeros((1, 0), dtype=torch.long, device=self._frame.device)
        totals = torch.zeros(1, dtype=torch.float64, device=self._frame.device)
        found: list[Found] = []
        for position in range(max(self._lengths)):
            candidates = self._possible[position]
            grown = torch.cat(
                [
                    prefixes.repeat_interleave(len(candidates), 0),
                    candidates.repeat(len(prefixes))[:, None],
                ],
                dim=1,
            )
            away = self.distances(grown, position).view(len(prefixes), len(candidates))
            found += self._ended(prefixes, totals, away.amin(1), position)
            away = away.flatten()
            totals = totals.repeat_interleave(len(candidates)) + away
            inside = (away < self._attack.tolerance).nonzero().flatten()
            if not len(inside):
                inside = torch.arange(len(away), device=away.device)
            kept = inside[totals[inside].argsort()][: self._attack.beam * len(self._lengths)]
            prefixes, totals = grown[kept], totals[kept]
        return found

    def _ended(
        self, prefixes: Tensor, totals: Tensor, beyond: Tensor, position: int
    ) -> list[Found]:
        """Return the texts whose last token stands at a position.

        Args:
            prefixes: ``(n, position)``.
            totals: their distances so far ``(n,)``.
            beyond: the distance of the best token that could continue each ``(n,)``.
            position: of the last token.
        """
        count = self._lengths.count(position + 1)
        last = torch.tensor([self._model.specials.last], device=prefixes.device)
        goes_on = beyond < self._attack.tolerance
        order = sorted(range(len(prefixes)), key=lambda n: (bool(goes_on[n]), float(totals[n])))
        chosen = (order * count)[:count]  # fewer prefixes than texts: some texts are equal
        return [
            (torch.cat([prefixes[n], last]), float(totals[n]) / max(1, position)) for n in chosen
        ]

    def separate(self) -> list[Found]:
        """Return an encoder's texts, each as close as possible to the second layer's span."""
        found: list[Found] = []
        for row, length in zip(self._frame, self._lengths, strict=True):
            choices = [self._possible[t] if row[t] < 0 else row[t][None] for t in range(length)]
            found.append(self._search(choices, [text for text, _ in found]))
        return found

    def _search(self, choices: Sequence[Tensor], taken: Sequence[Tensor]) -> Found:
        """Change one token at a time while that brings a text nearer, from several starts."""
        best: Found | None = None
        several = [t for t, tokens in enumerate(choices) if len(tokens) > 1]
        for start in self._starts(choices, taken):
            text, distance = self._settle(start, choices, several)
            known = any(len(t) == len(text) and torch.equal(t, text) for t in taken)
            rank = distance + known  # a text that was already found is worse than any other
            if best is None or rank < best[1]:
                best = text, rank
            if not several or rank < self._attack.tolerance:
                break
        if best is None:
            raise AttackError("there is no text to start from")
        return best

    def _starts(self, choices: Sequence[Tensor], taken: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield first texts, drawn from the tokens that no text has yet where there are such."""
        fresh = []
        for position, tokens in enumerate(choices):
            used = [int(text[position]) for text in taken if position < len(text)]
            left = [w for w in tokens.tolist() if w not in used] or tokens.tolist()
            fresh.append(torch.tensor(left, device=tokens.device))
        yield torch.stack([tokens[0] for tokens in fresh])
        for _ in range(self._attack.restarts - 1):
            drawn = [
                int(torch.randint(len(tokens), (), generator=self._generator)) for tokens in fresh
            ]
            yield torch.stack([w[n] for w, n in zip(fresh, drawn, strict=True)])

    def _settle(
        self, text: Tensor, choices: Sequence[Tensor], several: Sequence[int]
    ) -> tuple[Tensor, float]:
        distance = float(self.distances(text[None])[0])
        while several and distance >= self._attack.tolerance:
            changed = []
            for position in several:
                for token in choices[position]:
                    if token != text[position]:
                        other = text.clone()
                        other[position] = token
                        changed.append(other)
            distances = self.distances(torch.stack(changed))
            nearest = int(distances.argmin())
            if distances[nearest] >= distance:
                break
            text, distance = changed[nearest], float(distances[nearest])
        return text, distance
