"""Tokens, positions and texts from a dense layer that sorts tokens into bins."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.bins import sorting_rows
from fedsim.attacks.text.bag import bag_of_tokens
from fedsim.attacks.text.layers import AttentionInputs
from fedsim.attacks.text.masked import fill_masked
from fedsim.attacks.text.model import TextModel, as_module
from fedsim.attacks.text.reading import TextReading
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS

SHARE = 0.25
"""Share of a token's numbers that hold the fingerprint of its text."""

EMPTY = 1e-6
"""Size of a bin's bias gradient, in units of the largest, below which it is rounding error."""

ALIKE = 0.9995
"""Cosine from which a quotient is one token."""

FITS = 3e-3
"""Relative residual up to which tokens explain a bin."""

NEAR = 1.0
"""Distance up to which two marks are those of one text; hidden states have a variance of 1."""

EDGE = 1e-3
"""Rounding of a token's measure at the limits of a bin."""

MOST = 3
"""Tokens of one bin that are told apart."""

TRIED = 60_000
"""Combinations of tokens that are tried for one bin."""


@dataclass(frozen=True, eq=False)
class Bins:
    """Contents of the bins between neighbouring thresholds of the layer.

    Attributes:
        weight: sum of tokens' inputs times their derivatives ``(bins, D)``.
        bias: sum of their derivatives ``(bins,)``.
        limits: limits of the bins on the layer's measure ``(bins + 1,)``, the last infinite.
        direction: the measure ``(D,)``.
    """

    weight: Tensor
    bias: Tensor
    limits: Tensor
    direction: Tensor

    @property
    def filled(self) -> list[int]:
        """Bins that hold a token."""
        sizes = self.bias.abs()
        return torch.nonzero(sizes > EMPTY * sizes.max()).flatten().tolist()


Cell = tuple[int, int]
"""Text and position."""


@ATTACKS.register("token-bins")
class TokenBins(TextReading):
    """Token bins: tokens with their positions, read from a layer that sorts them.

    A malicious server sends a transformer whose first layer marks each token by its text and sorts
    the tokens (`decepticon`; Fowl et al., Decepticons, arXiv 2201.12675). The difference of
    neighbouring rows' gradients, divided by that of the biases, is one token's hidden state if it
    is alone in its bin: compared with every token at every position, and by its text's fingerprint
    it goes to the others of the text. Beyond the paper, two or three tokens of one bin are told
    apart, by trying those that the bin can hold. Tokens behind mask tokens are read off the head.
    """

    def against_defenses(self) -> None:
        """Return None: defenses of the upload are not taken into account."""
        return

    def _read(
        self, model: TextModel, observation: Observation, frame: Tensor, seed: int
    ) -> tuple[Tensor, float]:
        bins = bins_of(model, observation)
        known = _Known(model, observation, frame)
        singles = known.singles(bins)
        if not singles:
            raise AttackError("no bin holds a single token: nothing to read")
        known.sort_into_texts(singles)
        known.tell_apart(bins)
        tokens = torch.where(known.tokens < 0, model.specials.last, known.tokens)
        missing = float((known.tokens < 0).double().mean())
        return fill_masked(model, observation, tokens), missing


def bins_of(model: TextModel, observation: Observation) -> Bins:
    """Return the contents of the bins.

    Raises:
        AttackError: no dense layer of the model sorts tokens, or its gradient was not shared.
    """
    for name, module in as_module(model).named_modules():
        if not isinstance(module, nn.Linear) or module.bias is None:
            continue
        weight, bias = module.weight.detach().double(), module.bias.detach().double()
        try:
            rows = sorting_rows(weight, bias)
        except AttackError:
            continue
        missing = [k for k in ("weight", "bias") if f"{name}.{k}" not in observation.gradient]
        if missing:
            raise AttackError(f"the gradient of '{name}.{missing[0]}' was not shared")
        order = rows[torch.argsort(-bias[rows])]
        weights = observation.gradient[f"{name}.weight"].double()[order]
        biases = observation.gradient[f"{name}.bias"].double()[order]
        return Bins(
            weights - torch.cat([weights[1:], torch.zeros_like(weights[:1])]),
            biases - torch.cat([biases[1:], torch.zeros_like(biases[:1])]),
            nn.functional.pad(-bias[order] / weight[order[0]].norm(), (0, 1), value=float("inf")),
            weight[order[0]] / weight[order[0]].norm(),
        )
    raise AttackError("no layer of the model sorts tokens into bins; use 'dager'")


@dataclass(frozen=True, eq=False)
class _Single:
    """A token by its number among the possible ones, its position, and its text's mark."""

    token: int
    position: int
    mark: Tensor


class _Known:
    """Texts of a batch as far as they were read, cell by cell.

    Attributes:
        tokens: the tokens ``(B, L)``, -1 where unknown.
    """

    def __init__(self, model: TextModel, observation: Observation, frame: Tensor) -> None:
        self._model, self._frame = model, frame
        self.tokens = frame.clone()
        bag = bag_of_tokens(model, observation)
        specials = [t for t in (model.specials.mask, model.specials.first) if t is not None]
        count = len(model.table)
        able = [t for t in range(count) if not model.is_special(t)]
        inputs = set(bag.inputs) if bag is not None and bag.inputs else set(able)
        self._able = sorted({*inputs, *specials, model.specials.last} - {model.specials.pad})
        same = torch.tensor(self._able)[:, None].expand(-1, frame.shape[1])
        self._embedded = AttentionInputs(model).of(same, 0).double()  # (C, L, D)
        self._marked = int(SHARE * self._embedded.shape[-1])
        self._ends = {model.specials.first, model.specials.last}
        self._marks: dict[int, Tensor] = {}
        self._sure: set[Cell] = set()
        self._done: set[int] = set()

    def singles(self, bins: Bins) -> list[tuple[int, _Single]]:
        """Return the bins that hold one token, with the token, its position and its mark."""
        rest = self._embedded[..., self._marked :].flatten(0, 1)
        centred = nn.functional.normalize(rest - rest.mean(-1, keepdim=True), dim=-1)
        found = []
        for i in bins.filled:
            hidden = bins.weight[i] / bins.bias[i]
            seen = hidden[self._marked :]
            mean, size = seen.mean(), (seen - seen.mean()).norm()
            likeness, best = (centred @ ((seen - mean) / size)).max(0)
            if likeness < ALIKE:
                continue
            token, position = divmod(int(best), self._embedded.shape[1])
            own = self._embedded[token, position]
            scale = (own[self._marked :] - own[self._marked :].mean()).norm() / size
            shift = own[self._marked :].mean() - scale * mean
            mark = scale * hidden[: self._marked] + shift - own[: self._marked]
            found.append((i, _Single(token, position, mark)))
        return found

    def sort_into_texts(self, singles: list[tuple[int, _Single]]) -> None:
        """Write single tokens into the texts to which their marks belong."""
        # Loaded only for attacks on texts.
        from scipy.optimize import (  # type: ignore[import-untyped]  # noqa: PLC0415
            linear_sum_assignment,
        )

        count = len(self._frame)
        groups = grouped(torch.stack([s.mark for _, s in singles]), count)
        singles = [s for s, g in zip(singles, groups, strict=True) if g >= 0]
        groups = [g for g in groups if g >= 0]
        costs = torch.zeros(count, count)
        for (_, single), group in zip(singles, groups, strict=True):
            token, here = self._able[single.token], self._frame[:, single.position]
            # An unknown cell may hold it; a known one must.
            costs[group] += ((here != token) & ((here >= 0) | (token in self._ends))).float()
        _, rows = linear_sum_assignment(costs.numpy())
        for group, row in enumerate(rows.tolist()):
            members = [s for (_, s), g in zip(singles, groups, strict=True) if g == group]
            if members:
                self._marks[row] = torch.stack([s.mark for s in members]).median(0).values
            for single in members:
                self._write((row, single.position), self._able[single.token])
        self._done = {i for i, _ in singles}

    def _write(self, cell: Cell, token: int) -> None:
        if self._frame[cell] < 0:
            self.tokens[cell] = token
        self._sure.add(cell)

    def tell_apart(self, bins: Bins) -> None:
        """Write the tokens of bins that hold two or three."""
        cells, states = self._states()
        measured = states @ bins.direction
        for i in bins.filled:
            if i in self._done:
                continue
            inside = (measured > bins.limits[i] - EDGE) & (measured < bins.limits[i + 1] + EDGE)
            chosen = [
                c for c in inside.nonzero().flatten().tolist() if cells[c][0] not in self._sure
            ]
            target = torch.cat([bins.weight[i], bins.bias[i][None]])
            for c in explained(target, states[chosen], [cells[c][0] for c in chosen]):
                self._write(*cells[chosen[c]])

    def _states(self) -> tuple[list[tuple[Cell, int]], Tensor]:
        """Return the possible tokens of the open cells, and their hidden states ``(n, D)``."""
        cells, states = [], []
        width = self._embedded.shape[-1]
        for text, mark in self._marks.items():
            marked = nn.functional.pad(mark, (0, width - self._marked))
            hidden = nn.functional.layer_norm(self._embedded + marked, marked.shape)
            for position, here in enumerate(self._frame[text].tolist()):
                if here == self._model.specials.pad or (text, position) in self._sure:
                    continue
                for c, token in enumerate(self._able):
                    if (here >= 0 and token != here) or (here < 0 and token in self._ends):
                        continue
                    cells.append(((text, position), token))
                    states.append(hidden[c, position])
        return cells, torch.stack(states) if states else self._embedded.new_zeros(0, width)


def grouped(marks: Tensor, count: int) -> list[int]:
    """Return the group of each mark ``(N, D)``: one of the ``count`` largest, or -1 for others."""
    # Loaded only for attacks on texts.
    from scipy.cluster.hierarchy import (  # type: ignore[import-untyped]  # noqa: PLC0415
        fcluster,
        linkage,
    )

    if len(marks) < 2:
        return [0] * len(marks)
    found = fcluster(linkage(marks.numpy(), "average"), NEAR, "distance").tolist()
    largest = sorted(set(found), key=lambda g: (-found.count(g), g))[:count]
    return [largest.index(g) if g in largest else -1 for g in found]


def explained(target: Tensor, states: Tensor, cells: list[Cell]) -> tuple[int, ...]:
    """Return the fewest tokens that explain a bin, or none if no few do.

    Args:
        target: sums of the bin ``(D + 1,)``: of states times their derivatives, and of these.
        states: hidden states of the possible tokens ``(n, D)``.
        cells: where each of them stands.
    """
    with_one = nn.functional.pad(states, (0, 1), value=1.0)
    tried = 0
    for size in range(1, MOST + 1):
        fits: list[tuple[float, tuple[int, ...]]] = []
        for part in combinations(range(len(cells)), size):
            tried += 1
            if tried > TRIED:
                return ()
            if len({cells[c] for c in part}) < size:
                continue
            columns = with_one[list(part)].T
            rest = target - columns @ torch.linalg.lstsq(columns, target[:, None]).solution[:, 0]
            fits.append((float(rest.norm() / target.norm()), part))
        if fits and min(fits)[0] < FITS:
            return min(fits)[1]
    return ()
