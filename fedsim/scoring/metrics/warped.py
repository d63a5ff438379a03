"""Search for a private picture in a turned, enlarged, shrunk or far moved reconstruction.

`fedsim.scoring.metrics.aligned` moves by a few pixels. Where a client trains on turned or sheared
pictures, or a network hardly depends on position, an attack finds more distant copies, which a
person recognises. Each view of the reconstruction is aligned as usual; each baseline has the same
views, and so has the reconstruction as a copy of each public picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (the usual name)
from torch import Tensor

from fedsim.core.names import CHOSEN_BY_TRUTH
from fedsim.scoring.metrics.aligned import explained

MIN_SIDE = 24
"""Shorter side in pixels below which noise explains too much by chance in one of so many views."""

DEGREES = (-24, -18, -12, -6, 6, 12, 18, 24)
SCALES = (0.79, 0.86, 0.93, 1.08, 1.17, 1.26)
LEFT = 0.5
"""Largest share of what the plain alignment leaves unexplained that the best view leaves. Views are
interpolated, which smooths noise: of noise on a copy that is not warped they leave 0.63 or more, of
turned, enlarged and far moved copies at most 0.21 (judged public pictures)."""

FAR = 0.2
"""Distance of the centres of far shifts, as a share of the side: around each lie the usual ones."""


@dataclass(frozen=True)
class Warped:
    """The best view of a reconstruction, and of each of its baselines.

    Attributes:
        found: ``(C, H, W)``.
        guesses: ``(C, H, W)`` of each baseline by name.
    """

    found: Tensor
    guesses: dict[str, Tensor]


def warp(
    found: Tensor, original: Tensor, guesses: Mapping[str, Tensor], public: Tensor, share: float
) -> Warped | None:
    """Return the best views, or None unless they identify the private picture.

    They do if the reconstruction's leaves less unexplained than its plain alignment by half, less
    than each baseline's, and less than any view does of any public picture.

    Args:
        found: ``(C, H, W)`` float64 in [0, 1], the reconstruction.
        original: ``(C, H, W)``, the private picture.
        guesses: ``(C, H, W)`` of each baseline by name.
        public: ``(M, C, H, W)``, the public candidates.
        share: share of the original's variance that the plain alignment explains.
    """
    if min(original.shape[1:]) < MIN_SIDE:
        return None
    turned = views(found)
    mine, best = explained(turned, original[None]).max(0)
    if 1 - float(mine) > LEFT * (1 - share):
        return None
    chosen = {}
    for name, guess in guesses.items():
        others = torch.cat([guess[None], views(guess)])
        theirs, at = explained(others, original[None]).max(0)
        if name not in CHOSEN_BY_TRUTH and theirs >= mine:
            return None
        chosen[name] = others[at]
    many = public.double()
    for view in torch.cat([found[None], turned]) if len(many) else ():
        if bool((explained(view[None], many) >= mine).any()):
            return None
    return Warped(turned[best], chosen)


def views(picture: Tensor) -> Tensor:
    """Return a picture turned, scaled and moved far, (V, C, H, W); its border is continued.

    Args:
        picture: ``(C, H, W)``.
    """
    maps = torch.cat([_turns(), _zooms(), _moves()])
    grid = F.affine_grid(maps, [len(maps), *picture.shape], align_corners=False)
    many = picture[None].expand(len(maps), -1, -1, -1)
    return F.grid_sample(many, grid, padding_mode="border", align_corners=False)


def _turns() -> Tensor:
    """Return the affine maps of all angles, (A, 2, 3)."""
    angles = torch.tensor(DEGREES, dtype=torch.float64).deg2rad()
    sine, cosine, none = angles.sin(), angles.cos(), torch.zeros_like(angles)
    rows = torch.stack([cosine, -sine, none], 1), torch.stack([sine, cosine, none], 1)
    return torch.stack(rows, 1)


def _zooms() -> Tensor:
    """Return the affine maps of all scales, (S, 2, 3)."""
    unit = torch.eye(2, 3, dtype=torch.float64)
    return unit / torch.tensor(SCALES, dtype=torch.float64)[:, None, None]


def _moves() -> Tensor:
    """Return the affine maps of far shifts in eight directions, (8, 2, 3)."""
    steps = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    directions = torch.cartesian_prod(steps, steps)
    offsets = 2 * FAR * directions[directions.abs().sum(1) > 0]  # sides are 2 long
    unit = torch.eye(2, dtype=torch.float64).expand(len(offsets), -1, -1)
    return torch.cat([unit, offsets[:, :, None]], 2)
