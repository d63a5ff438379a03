"""A picture file is there whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedsim.core.errors import DataError
from fedsim.show.figures import grid, save_png
from fedsim.show.figures.files import replace_file


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 3])
def test_png_holds_the_pixels(tmp_path: Path, channels: int, scale: int) -> None:
    image = np.random.default_rng(0).random((channels, 5, 7)).astype(np.float32)
    save_png(image, tmp_path / "a.png", scale)
    with Image.open(tmp_path / "a.png") as png:
        pixels = np.asarray(png)
    expected = np.rint(image * 255).astype(np.uint8).repeat(scale, 1).repeat(scale, 2)
    assert (pixels.transpose(2, 0, 1) == expected).all()


def test_figures_are_written_as_they_are(tmp_path: Path) -> None:
    figure = grid([[np.zeros((1, 4, 4))]])
    save_png(figure, str(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as png:
        assert png.size == figure.size


def test_replaces_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.bin"
    replace_file(target, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        replace_file(target, b"new")
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    replace_file(target, b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a.bin", b"new")]


def test_no_file_for_what_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one picture"):
        save_png(np.zeros((4, 4)), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
