"""Reconstructions of pictures that were judged by eye before they were scored.

Each row was drawn beside its private picture and judged, on a contact sheet without scores, by the
question: what of this private picture would a person learn who knows its class? The clothes are
private ones of the embedded data; the public ones are its test part. The photographs come with
scikit-image; crops of other photographs are public for them, without classes.

``python -m tests.fedsim.scoring.cases.pictures SHEET.png`` draws the sheet.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize
from torch import Tensor

from fedsim.data.mini import FashionMnistMini

CLEAR, PARTLY, NOTHING = "recognisable", "partly", "no more than guessing"
PLAIN = "nothing to leak"


@dataclass(frozen=True)
class Case:
    """One private picture with its reconstruction.

    Attributes:
        name: what was done to the picture.
        eye: the judgement; two where the eye hesitated.
        original, found: ``(C, H, W)``.
        label: the class that the attack found; None if it found none.
        public, labels: the public pictures and their classes.
    """

    name: str
    eye: tuple[str, ...]
    original: Tensor
    found: Tensor
    label: int | None
    public: Tensor
    labels: Tensor


@cache
def clothes() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return private pictures, their classes, public pictures and their classes."""
    mini = FashionMnistMini().load(None)
    private, public = (s.images.double() / 255 for s in (mini.train, mini.test))
    return private, mini.train.labels, public, mini.test.labels


def garment(label: int, index: int = 0) -> Tensor:
    """Return a private picture of a class."""
    private, labels, _, _ = clothes()
    return private[labels == label][index]


def crop(photo: np.ndarray, top: int, left: int, side: int, size: int = 32) -> Tensor:
    """Return a square of a photograph, scaled down."""
    part = resize(photo[top : top + side, left : left + side], (size, size), anti_aliasing=True)
    return torch.from_numpy(part.transpose(2, 0, 1).copy()).double()


@cache
def face() -> Tensor:
    """Return the face of an astronaut."""
    return crop(data.astronaut(), 0, 100, 256)


@cache
def photographs() -> Tensor:
    """Return crops of other photographs."""
    random = np.random.default_rng(0)
    sources = [data.coffee(), data.chelsea(), data.rocket(), data.astronaut()[260:]]
    crops = []
    for photo in sources:
        for _ in range(16):
            top, left = (random.integers(0, side - 199) for side in photo.shape[:2])
            crops.append(crop(photo, top, left, 200))
    return torch.stack(crops)


def blur(picture: Tensor, sigma: float) -> Tensor:
    """Return a blurred picture."""
    return torch.from_numpy(gaussian_filter(picture.numpy(), (0, sigma, sigma)))


def noise(picture: Tensor, std: float = 1.0) -> Tensor:
    """Return normal noise in the shape of a picture."""
    return std * torch.from_numpy(np.random.default_rng(1).standard_normal(tuple(picture.shape)))


def shift(picture: Tensor, rows: int, columns: int) -> Tensor:
    """Return a shifted picture, black where it was not."""
    moved = torch.roll(picture, (rows, columns), (1, 2))
    moved[:, :rows] = 0
    moved[:, :, :columns] = 0
    return moved


def salted(picture: Tensor, share: float = 0.5) -> Tensor:
    """Return a picture with black or white in place of a share of its pixels."""
    random = torch.from_numpy(np.random.default_rng(2).random(tuple(picture.shape[1:])))
    dots = (torch.from_numpy(np.random.default_rng(3).random(tuple(picture.shape[1:]))) > 0.5) * 1.0
    return torch.where(random < share, dots.expand_as(picture), picture)


def of_class(label: int, kind: str) -> Tensor:
    """Return a guess that uses the class alone."""
    _, _, public, labels = clothes()
    own = public[labels == label]
    mean = own.mean(0)
    if kind == "mean":
        return mean
    if kind == "medoid":
        return own[(own - mean).square().flatten(1).sum(1).argmin()]
    return own[17]


def smooth(picture: Tensor, sigma: float = 5) -> Tensor:
    """Return smooth clouds between 0 and 1."""
    cloud = blur(noise(picture), sigma)
    return (cloud - cloud.min()) / (cloud.max() - cloud.min())


def exact_middle(picture: Tensor) -> Tensor:
    """Return the middle of a picture on grey, as an attack might find the face alone."""
    found = torch.full_like(picture, 0.5)
    found[:, 4:22, 6:24] = picture[:, 4:22, 6:24]
    return found


def half_exact(picture: Tensor) -> Tensor:
    """Return the upper half of a picture above noise."""
    found = picture.clone()
    found[:, 14:] = torch.from_numpy(np.random.default_rng(4).random(tuple(found[:, 14:].shape)))
    return found


def speckled(picture: Tensor) -> Tensor:
    """Return a black picture with a few bright dots, up to 0.71."""
    random = np.random.default_rng(5).random(tuple(picture.shape))
    return picture + torch.from_numpy(np.where(random > 0.9, 0.71 * (random - 0.9) * 10, 0))


Make = Callable[[Tensor], Tensor]
Eye = tuple[str, ...]

TSHIRT, TROUSER, PULLOVER, DRESS, COAT, SANDAL, SHIRT, SNEAKER, BAG, BOOT = range(10)

_CLOTHES: list[tuple[str, Eye, int, Make]] = [
    ("the boot itself", (CLEAR,), BOOT, lambda x: x),
    ("boot, shifted by 2 pixels", (CLEAR,), BOOT, lambda x: shift(x, 2, 2)),
    ("shirt, shifted by 1 pixel", (CLEAR,), SHIRT, lambda x: shift(x, 1, 1)),
    ("boot, inverted", (CLEAR,), BOOT, lambda x: 1 - x),
    ("sandal, mirrored", (CLEAR,), SANDAL, lambda x: x.flip(2)),
    ("dress, mirrored and inverted", (CLEAR,), DRESS, lambda x: 1 - x.flip(2)),
    ("shirt, contrast of 25 %", (CLEAR,), SHIRT, lambda x: 0.375 + 0.25 * x),
    ("bag, half as bright", (CLEAR,), BAG, lambda x: x / 2),
    ("boot, black and white", (PARTLY, CLEAR), BOOT, lambda x: (x > 0.5).double()),
    ("boot, noise of 0.1", (CLEAR,), BOOT, lambda x: x + noise(x, 0.1)),
    ("boot, noise of 0.4", (PARTLY,), BOOT, lambda x: x + noise(x, 0.4)),
    ("sneaker, half of it salt and pepper", (NOTHING, PARTLY), SNEAKER, salted),
    ("boot, blurred by 1 pixel", (CLEAR, PARTLY), BOOT, lambda x: blur(x, 1)),
    ("sandal, blurred by 3 pixels", (PARTLY,), SANDAL, lambda x: blur(x, 3)),
    (
        "pullover, mixed with a dress",
        (PARTLY, CLEAR),
        PULLOVER,
        lambda x: (x + garment(DRESS, 3)) / 2,
    ),
    ("boot, the upper half above noise", (PARTLY, CLEAR), BOOT, half_exact),
    ("shirt: the mean of its class", (NOTHING,), SHIRT, lambda x: of_class(SHIRT, "mean")),
    ("boot: the mean of its class", (NOTHING,), BOOT, lambda x: of_class(BOOT, "mean")),
    (
        "sneaker: the medoid of its class",
        (NOTHING,),
        SNEAKER,
        lambda x: of_class(SNEAKER, "medoid"),
    ),
    ("bag: some bag", (NOTHING,), BAG, lambda x: of_class(BAG, "some")),
    ("trousers: some trousers", (NOTHING,), TROUSER, lambda x: of_class(TROUSER, "some")),
    ("dress: the mean of all", (NOTHING,), DRESS, lambda x: clothes()[2].mean(0)),
    ("boot: uniform noise", (NOTHING,), BOOT, lambda x: noise(x, 0.5) + 0.5),
    ("sandal: smooth clouds", (NOTHING,), SANDAL, smooth),
    ("boot: a shirt", (NOTHING,), BOOT, lambda x: garment(SHIRT, 3)),
    ("a black picture: speckle", (PLAIN,), -1, speckled),
    ("a plain picture: another tone", (PLAIN,), -2, lambda x: x + 0.05),
    ("a nearly black boot, brightened", (CLEAR,), -3, lambda x: 5 * x),
    ("a nearly black boot: speckle", (NOTHING,), -3, speckled),
]

_PHOTOGRAPHS: list[tuple[str, Eye, Make]] = [
    ("face, shifted by 2 pixels", (CLEAR,), lambda x: shift(x, 2, 2)),
    ("face, inverted", (CLEAR,), lambda x: 1 - x),
    ("face, mirrored", (CLEAR,), lambda x: x.flip(2)),
    ("face, red and blue swapped", (CLEAR,), lambda x: x.flip(0)),
    ("face, 8 colours", (PARTLY, CLEAR), lambda x: (x > 0.5).double()),
    ("face, exact on grey", (CLEAR,), exact_middle),
    ("face, noise of 0.1", (CLEAR,), lambda x: x + noise(x, 0.1)),
    ("face, noise of 0.4", (PARTLY,), lambda x: x + noise(x, 0.4)),
    ("face, half of it salt and pepper", (PARTLY,), salted),
    ("face, blurred by 1 pixel", (CLEAR,), lambda x: blur(x, 1)),
    ("face, blurred by 4 pixels", (PARTLY,), lambda x: blur(x, 4)),
    ("face: normal noise", (NOTHING,), lambda x: 0.5 + noise(x, 0.3)),
    ("face: its own mean colour", (NOTHING,), lambda x: x.mean((1, 2), keepdim=True).expand_as(x)),
    ("face: smooth clouds", (NOTHING,), smooth),
    ("face: another photograph", (NOTHING,), lambda x: photographs()[20]),
]


def _private(label: int) -> Tensor:
    if label == -1:
        return torch.zeros(1, 28, 28, dtype=torch.float64)
    if label == -2:
        return torch.full((1, 28, 28), 0.3, dtype=torch.float64)
    return garment(BOOT) * 0.15 if label == -3 else garment(label)


def cases() -> list[Case]:
    """Return all rows."""
    _, _, public, labels = clothes()
    rows = []
    for name, eye, label, make in _CLOTHES:
        original = _private(label)
        known = BOOT if label == -3 else max(label, 0)
        rows.append(Case(name, eye, original, make(original).clamp(0, 1), known, public, labels))
    photos = photographs()
    for name, eye, make in _PHOTOGRAPHS:
        found = make(face()).clamp(0, 1)
        rows.append(Case(name, eye, face(), found, None, photos, torch.zeros(len(photos))))
    return rows


def draw(rows: list[Case], path: Path, scale: int = 4) -> None:
    """Draw each private picture above its reconstruction, in the order of the rows."""
    columns, side = 12, 34 * scale
    page = Image.new("RGB", (columns * side, -(-len(rows) // columns) * (2 * side + 6)), "navy")
    for i, case in enumerate(rows):
        for j, picture in enumerate((case.original, case.found)):
            pixels = (picture.expand(3, -1, -1).permute(1, 2, 0).numpy() * 255).round()
            tile = Image.fromarray(pixels.astype(np.uint8)).resize((side - 6, side - 6), 0)
            page.paste(tile, (i % columns * side, i // columns * (2 * side + 6) + j * (side - 5)))
    page.save(path)


if __name__ == "__main__":
    draw(cases(), Path(sys.argv[1]))
