"""Make the photographs that come with fedsim from those of scikit-image.

Run as ``python -m fedsim.data.embedded._make_photographs``, with scikit-image installed.
"""

import base64
import json
import lzma
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fedsim.data.photographs import FILE

HERE = Path(__file__).parent
SIDE = 96

NAMES = {
    "astronaut.png": (80, 0, 300),
    "chelsea.png": (60, 0, 300),
    "coffee.png": (90, 0, 400),
    "rocket.jpg": (160, 0, 400),
    "camera.png": (110, 0, 320),
}
"""Left, top and side of the square of each photograph that is kept."""

LICENSES = dict.fromkeys(NAMES, "CC0") | {
    "astronaut.png": "public domain (NASA)",
    "rocket.jpg": "public domain (SpaceX)",
}
"""As scikit-image's documentation of each states."""


def draw(folder: Path) -> npt.NDArray[np.uint8]:
    """Return the photographs ``(N, 3, 96, 96)``, cropped to a square and resized.

    Args:
        folder: that of scikit-image's data.
    """
    found = []
    for name, (left, top, side) in NAMES.items():
        with Image.open(folder / name) as image:
            square = image.convert("RGB").crop((left, top, left + side, top + side))
            found.append(np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
    return np.ascontiguousarray(np.stack(found).transpose(0, 3, 1, 2))


def pack(pictures: npt.NDArray[np.uint8]) -> str:
    """Return the file's text: JSON, because Flower's app bundles omit binary files."""
    raw = lzma.compress(pictures.tobytes(), preset=9 | lzma.PRESET_EXTREME)
    packed = {"shape": pictures.shape, "xz_base85": base64.b85encode(raw).decode()}
    content = {"license": LICENSES, "arrays": {"photographs": packed}}
    return json.dumps(content, indent=1) + "\n"


def main() -> None:
    """Write the file into the folder of this script."""
    import skimage  # noqa: PLC0415  (needed by nothing else of fedsim)

    folder = Path(skimage.__file__).parent / "data"
    (HERE / FILE).write_text(pack(draw(folder)), "utf-8")


if __name__ == "__main__":
    main()
