from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fedsim.core.errors import DataError, FedsimWarning
from fedsim.data import load_image

Picture = Callable[..., Path]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".tif", ".webp", ".ppm"])
def test_every_format_is_read(tmp_path: Path, picture: Picture, suffix: str) -> None:
    image = load_image(picture(tmp_path / f"red{suffix}"), (3, 4, 6))
    assert image.shape == (3, 4, 6)
    assert image.dtype == torch.float32
    red, green, blue = image.mean(dim=(1, 2)).tolist()
    assert red > 0.95
    assert max(green, blue) < 0.05


def test_the_middle_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((10, 30), dtype=np.uint8)
    pixels[:, 10:20] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert load_image(tmp_path / "wide.png", (1, 10, 10)).min() == 1


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    image = load_image(tmp_path / "turned.png", (1, 8, 8))
    assert image[0, :4].max() == 0
    assert image[0, 4:].min() == 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert(mode)
    clear.save(tmp_path / "clear.tif" if mode == "PA" else tmp_path / "clear.png")
    assert load_image(next(tmp_path.iterdir()), (3, 4, 4)).min() == 1


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    grey = np.full((4, 4), 32768, dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    image = load_image(tmp_path / "deep.png", (1, 4, 4))
    torch.testing.assert_close(image, torch.full((1, 4, 4), 0.5), atol=0.01, rtol=0)


def test_sixteen_bits_of_which_few_are_used_are_named(tmp_path: Path) -> None:
    values = np.arange(60, 948, 888 // 16, dtype=np.uint16)[:16].reshape(4, 4)
    Image.fromarray(values).save(tmp_path / "deep.png")
    with pytest.warns(FedsimWarning, match="uses less than 10% of their range"):
        assert load_image(tmp_path / "deep.png", (1, 4, 4)).max() < 0.02


def test_colour_becomes_grey_and_grey_colour(tmp_path: Path, picture: Picture) -> None:
    path = picture(tmp_path / "white.png", "white")
    assert load_image(path, (1, 2, 2)).shape == (1, 2, 2)
    Image.new("L", (4, 4), 51).save(tmp_path / "grey.png")
    image = load_image(tmp_path / "grey.png", (3, 2, 2))
    torch.testing.assert_close(image, torch.full((3, 2, 2), 0.2))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*cat\.png"):
        load_image(tmp_path / "cat.png", (3, 4, 4))


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder: expected one picture"):
        load_image(tmp_path, (3, 4, 4))


@pytest.mark.parametrize("content", [b"", b"just words", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_no_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "words.png").write_bytes(content)
    with pytest.raises(DataError, match=r"words\.png is not a picture"):
        load_image(tmp_path / "words.png", (3, 4, 4))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_a_truncated_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"half{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"half{suffix} is (not|a broken or truncated) "):
        load_image(path, (3, 4, 4))


@pytest.mark.parametrize("limit", [40, 10], ids=["a warning to Pillow", "an error to Pillow"])
def test_a_bomb(
    tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = picture(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="too many pixels"):
        load_image(path, (3, 4, 4))


def test_floating_point(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match="floating-point"):
        load_image(tmp_path / "float.tif", (1, 4, 4))


@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 0, 4)])
def test_an_impossible_shape(tmp_path: Path, picture: Picture, shape: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="1 or 3 channels"):
        load_image(picture(tmp_path / "a.png"), shape)
