"""Public photographs that come with fedsim."""

import json
from functools import cache
from importlib import resources

import torch
from PIL import Image

from fedsim.core.seeds import derive
from fedsim.data.mini import unpack

FILE = "photographs.json"

CROPS = 200
"""Number of public pictures that are cut out of the photographs."""

_SMALLEST = 0.6
"""Smallest side of a cut-out, as a share of the photograph's."""


def photographs() -> torch.Tensor:
    """Return the photographs, ``(N, 3, 96, 96)`` uint8; ``embedded/ORIGIN.md`` names them."""
    text = resources.files("fedsim.data.embedded").joinpath(FILE).read_text("utf-8")
    return unpack(json.loads(text)["arrays"]["photographs"])


@cache
def cut_outs(channels: int, size: int) -> torch.Tensor:
    """Return squares cut out of the photographs at fixed random places.

    Args:
        channels: 3, or 1 for grey.
        size: side to resize them to, in pixels.

    Returns:
        ``(200, channels, size, size)`` uint8.
    """
    whole = photographs()
    side = whole.shape[-1]
    generator = torch.Generator().manual_seed(derive(0, "photographs"))
    found = []
    for number in range(CROPS):
        share, across, down, mirrored = torch.rand(4, generator=generator).tolist()
        own = round(side * (_SMALLEST + (1 - _SMALLEST) * share))
        left, top = round((side - own) * across), round((side - own) * down)
        pixels = whole[number % len(whole)].permute(1, 2, 0)[top : top + own, left : left + own]
        image = Image.fromarray(pixels.numpy()).resize((size, size), Image.Resampling.BICUBIC)
        if mirrored < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        raw = bytearray(image.convert("L" if channels == 1 else "RGB").tobytes())
        found.append(torch.frombuffer(raw, dtype=torch.uint8).view(size, size, channels))
    return torch.stack(found).permute(0, 3, 1, 2).contiguous()
