"""Reconstructions of public pictures that were judged by eye, to set the verdict's thresholds.

Each is a public picture that is taken for a private one, while the others stay public. They were
drawn in the order of `ROWS`, which is shuffled, on sheets without names or scores, and judged as in
`tests.fedsim.scoring.cases.pictures`, before any score was computed. Every other row chooses the
thresholds; the others, and the private pictures of that module, test them.

``python -m tests.fedsim.scoring.cases.judged SHEET.png`` draws them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from scipy.ndimage import rotate
from skimage import data
from torch import Tensor

from tests.fedsim.scoring.cases.pictures import (
    BAG,
    BOOT,
    COAT,
    DRESS,
    PULLOVER,
    SANDAL,
    SHIRT,
    SNEAKER,
    TROUSER,
    TSHIRT,
    Case,
    blur,
    clothes,
    crop,
    draw,
    noise,
    photographs,
    salted,
    shift,
    smooth,
)

CAT, CUP = -1, -2
"""Photographs, without a class."""

OF = {
    "T-shirt": TSHIRT, "trousers": TROUSER, "pullover": PULLOVER, "dress": DRESS, "coat": COAT,
    "sandal": SANDAL, "shirt": SHIRT, "sneaker": SNEAKER, "bag": BAG, "boot": BOOT,
    "cat": CAT, "cup": CUP,
}  # fmt: skip

Make = Callable[[Tensor, Tensor], Tensor]
"""Function from a picture, and the public ones of its class, to a reconstruction."""


def turned(picture: Tensor) -> Tensor:
    """Return a picture turned by 15 degrees."""
    return torch.from_numpy(rotate(picture.numpy(), 15, (1, 2), reshape=False, order=1))


def enlarged(picture: Tensor) -> Tensor:
    """Return a picture enlarged by 1.29, without its border."""
    side, edge = picture.shape[-1], picture.shape[-1] // 7
    size = (side + 2 * edge, side + 2 * edge)
    large = F.interpolate(picture[None], size=size, mode="bilinear")[0]
    return large[:, edge : edge + side, edge : edge + side]


def edges(picture: Tensor) -> Tensor:
    """Return the outlines of a picture."""
    down, across = (
        picture.diff(dim=1, prepend=picture[:, :1]),
        picture.diff(dim=2, prepend=picture[:, :, :1]),
    )
    return (down.square() + across.square()).sqrt()


def scrambled(picture: Tensor) -> Tensor:
    """Return the 16 tiles of a picture in another order."""
    side = picture.shape[-1] // 4
    tiles = picture.unfold(1, side, side).unfold(2, side, side).flatten(1, 2)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(6))
    rows = tiles[:, order].reshape(-1, 4, 4, side, side)
    return rows.permute(0, 1, 3, 2, 4).reshape(picture.shape)


def part(picture: Tensor, height: float, width: float) -> Tensor:
    """Return the upper left part of a picture on grey."""
    found = torch.full_like(picture, 0.5)
    rows, columns = round(height * picture.shape[1]), round(width * picture.shape[2])
    found[:, :rows, :columns] = picture[:, :rows, :columns]
    return found


def middle(picture: Tensor) -> Tensor:
    """Return the middle quarter of a picture on grey."""
    found, edge = torch.full_like(picture, 0.5), picture.shape[1] // 4
    inner = slice(edge, picture.shape[1] - edge)
    found[:, inner, inner] = picture[:, inner, inner]
    return found


def amid_noise(picture: Tensor, height: float, width: float) -> Tensor:
    """Return the upper left part of a picture, and noise elsewhere."""
    found = 0.5 + noise(picture, 0.3)
    rows, columns = round(height * picture.shape[1]), round(width * picture.shape[2])
    found[:, :rows, :columns] = picture[:, :rows, :columns]
    return found


def nearest(picture: Tensor, others: Tensor) -> Tensor:
    """Return the public picture that is nearest to a picture."""
    return others[(others - picture).square().flatten(1).sum(1).argmin()]


def mixed(share: float) -> Make:
    """Return the mixture with another picture."""
    return lambda x, others: share * x + (1 - share) * others[11]


def trace(share: float) -> Make:
    """Return the mixture with the mean of the class."""
    return lambda x, others: share * x + (1 - share) * others.mean(0)


MAKE: dict[str, Make] = {
    **{f"noise {s}": lambda x, _, s=s: x + noise(x, s) for s in (0.15, 0.25, 0.5, 0.8)},  # type: ignore[misc]
    **{f"blur {s}": lambda x, _, s=s: blur(x, s) for s in (0.7, 1.5, 2.5, 4)},  # type: ignore[misc]
    **{f"salt {s}": lambda x, _, s=s: salted(x, s) for s in (0.2, 0.35, 0.7)},  # type: ignore[misc]
    **{f"trace {s}": trace(s) for s in (0.15, 0.3, 0.5)},
    **{f"mix {s}": mixed(s) for s in (0.65, 0.8)},
    "shift 1 3": lambda x, _: shift(x, 1, 3),
    "shift 4 4": lambda x, _: shift(x, 4, 4),
    "blurred noise": lambda x, _: blur(x, 1) + noise(x, 0.2),
    "pale noise": lambda x, _: 0.4 + 0.2 * x + noise(x, 0.05),
    "inverted noise": lambda x, _: 1 - x + noise(x, 0.2),
    "quarter": lambda x, _: part(x, 0.5, 0.5),
    "half": lambda x, _: part(x, 1, 0.5),
    "middle": lambda x, _: middle(x),
    "quarter amid noise": lambda x, _: amid_noise(x, 0.5, 0.5),
    "noisy half": lambda x, _: part(x + noise(x, 0.2), 1, 0.5),
    "blurred half": lambda x, _: part(blur(x, 1), 1, 0.5),
    "turned": lambda x, _: turned(x),
    "enlarged": lambda x, _: enlarged(x),
    "edges": lambda x, _: edges(x),
    "dark": lambda x, _: x / 8,
    "scrambled": lambda x, _: scrambled(x),
    "nearest": nearest,
    "another": lambda _, others: others[23],
    "another inverted": lambda _, others: 1 - others[29],
    "mean": lambda _, others: others.mean(0),
    "tone": lambda x, _: x.mean((1, 2), keepdim=True).expand_as(x),
    "clouds": lambda x, _: smooth(x),
}
"""Changes by name; numbers are standard deviations, pixels, or shares."""

ROWS: list[tuple[str, str, str]] = [
    ("bag", "trace 0.3", "partly"),
    ("sneaker", "turned", "recognisable"),
    ("trousers", "tone", "no more than guessing"),
    ("shirt", "quarter", "partly"),
    ("trousers", "trace 0.3", "no more than guessing or partly"),
    ("bag", "inverted noise", "recognisable or partly"),
    ("T-shirt", "blurred noise", "partly"),
    ("cup", "another inverted", "no more than guessing"),
    ("dress", "nearest", "no more than guessing"),
    ("cup", "trace 0.5", "recognisable"),
    ("cup", "quarter", "partly"),
    ("dress", "noise 0.25", "partly"),
    ("cat", "trace 0.15", "partly or no more than guessing"),
    ("sneaker", "clouds", "no more than guessing"),
    ("sneaker", "blur 1.5", "no more than guessing or partly"),
    ("T-shirt", "salt 0.7", "no more than guessing"),
    ("cup", "noise 0.8", "no more than guessing or partly"),
    ("pullover", "blur 1.5", "partly"),
    ("dress", "blur 4", "no more than guessing"),
    ("sneaker", "salt 0.35", "partly"),
    ("bag", "tone", "no more than guessing"),
    ("T-shirt", "blur 2.5", "no more than guessing"),
    ("cat", "noise 0.25", "partly"),
    ("T-shirt", "noise 0.15", "partly"),
    ("trousers", "shift 1 3", "recognisable"),
    ("dress", "dark", "recognisable or partly"),
    ("sandal", "noise 0.15", "recognisable"),
    ("T-shirt", "edges", "recognisable or partly"),
    ("pullover", "turned", "recognisable"),
    ("boot", "half", "recognisable or partly"),
    ("cat", "blur 4", "partly"),
    ("coat", "half", "recognisable or partly"),
    ("shirt", "another inverted", "no more than guessing"),
    ("coat", "salt 0.2", "partly or recognisable"),
    ("dress", "trace 0.15", "partly"),
    ("coat", "mean", "no more than guessing"),
    ("trousers", "inverted noise", "partly or recognisable"),
    ("sneaker", "mix 0.8", "recognisable"),
    ("boot", "mean", "no more than guessing"),
    ("boot", "salt 0.2", "recognisable or partly"),
    ("bag", "noise 0.5", "partly or no more than guessing"),
    ("cup", "scrambled", "partly"),
    ("sandal", "edges", "recognisable"),
    ("boot", "blur 0.7", "recognisable"),
    ("cat", "pale noise", "partly or no more than guessing"),
    ("pullover", "mix 0.8", "recognisable"),
    ("bag", "shift 1 3", "recognisable"),
    ("dress", "pale noise", "partly"),
    ("shirt", "noise 0.8", "no more than guessing"),
    ("T-shirt", "enlarged", "recognisable"),
    ("bag", "another", "no more than guessing"),
    ("shirt", "shift 4 4", "recognisable"),
    ("coat", "blur 0.7", "recognisable or partly"),
    ("coat", "mix 0.65", "recognisable"),
    ("sandal", "blur 2.5", "no more than guessing or partly"),
    ("sandal", "blurred noise", "partly"),
    ("pullover", "salt 0.35", "no more than guessing or partly"),
    ("shirt", "trace 0.5", "recognisable or partly"),
    ("cup", "shift 4 4", "recognisable"),
    ("shirt", "scrambled", "partly"),
    ("cat", "nearest", "no more than guessing"),
    ("pullover", "clouds", "no more than guessing"),
    ("sandal", "salt 0.7", "no more than guessing"),
    ("cat", "dark", "recognisable or partly"),
    ("boot", "mix 0.65", "partly"),
    ("trousers", "noise 0.5", "partly"),
    ("trousers", "another", "no more than guessing"),
    ("sandal", "enlarged", "recognisable"),
    ("cat", "middle", "recognisable or partly"),
    ("boot", "noisy half", "partly"),
    ("dress", "middle", "partly"),
    ("bag", "quarter", "partly"),
    ("cup", "half", "recognisable"),
    ("sneaker", "quarter amid noise", "no more than guessing"),
    ("T-shirt", "half", "recognisable"),
    ("cat", "quarter amid noise", "partly"),
    ("trousers", "quarter", "partly or no more than guessing"),
    ("cup", "middle", "partly"),
    ("shirt", "middle", "partly"),
    ("cat", "half", "recognisable"),
    ("sandal", "noisy half", "partly or no more than guessing"),
    ("coat", "quarter", "partly"),
    ("cup", "noisy half", "partly or recognisable"),
    ("pullover", "blurred half", "partly"),
    ("sneaker", "middle", "partly or recognisable"),
    ("cat", "blurred half", "recognisable or partly"),
    ("bag", "quarter amid noise", "partly"),
    ("boot", "middle", "partly or no more than guessing"),
]
"""What the picture is of, how it was changed, and what the eye found; two words if it hesitated."""


@cache
def photograph(of: int) -> Tensor:
    """Return the photograph of a cat's face, or of a cup."""
    if of == CAT:
        return crop(data.chelsea(), 10, 110, 190)
    return crop(data.coffee(), 60, 150, 280)


def judged() -> list[Case]:
    """Return all rows, in the order in which they were judged."""
    _, _, public, labels = clothes()
    photos = photographs()[32:]  # those of neither the cup nor the cat
    rows = []
    for at, (name, change, eye) in enumerate(ROWS):
        of, words = OF[name], tuple(eye.split(" or "))
        if of < 0:
            picture, others, classes, own = photograph(of), photos, torch.zeros(len(photos)), photos
        else:
            [chosen] = (labels == of).nonzero()[at % 50].tolist()
            keep = torch.arange(len(public)) != chosen
            picture, others, classes = public[chosen], public[keep], labels[keep]
            own = others[classes == of]
        found = MAKE[change](picture, own).clamp(0, 1)
        label = None if of < 0 else of
        rows.append(Case(f"{name}: {change}", words, picture, found, label, others, classes))
    return rows


if __name__ == "__main__":
    draw(judged(), Path(sys.argv[1]))
