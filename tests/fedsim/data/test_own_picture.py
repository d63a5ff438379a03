"""One picture of the user's own."""

import json
import re
from importlib import resources
from pathlib import Path

import pytest
import skimage
import torch
from PIL import Image

from fedsim.core.errors import DataError
from fedsim.data import OwnPicture, load_dataset
from fedsim.data.embedded import _make_photographs as make
from fedsim.data.photographs import FILE, photographs


@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 16), (3, 40)])
def test_the_picture_is_all_that_is_private(tmp_path: Path, channels: int, size: int) -> None:
    Image.new("RGB", (50, 50), (255, 0, 0)).save(tmp_path / "red.png")
    data = load_dataset(OwnPicture(path=tmp_path / "red.png", channels=channels, size=size))
    assert data.image_shape == (channels, size, size)
    assert len(data.train) == 1
    if channels == 3:
        expected = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]
        assert torch.equal(data.train.images[0], expected.expand(3, size, size))
    assert len(data.test) == 200
    assert data.test.images.float().std() > 30
    assert not data.test.alike
    if channels == 3:
        assert (data.test.images[:, 0] != data.test.images[:, 2]).any()


def test_the_script_makes_the_same_photographs_again() -> None:
    folder = Path(skimage.__file__).parent / "data"
    difference = photographs().int() - torch.from_numpy(make.draw(folder)).int()
    assert difference.abs().max() <= 1  # a JPEG may be read otherwise


def test_the_licence_of_each_photograph_is_named() -> None:
    folder = resources.files("fedsim.data.embedded")
    content = json.loads(folder.joinpath(FILE).read_text("utf-8"))
    assert content["license"] == make.LICENSES
    origin = folder.joinpath("ORIGIN.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", origin, re.MULTILINE))
    stated = {Path(name).stem: text for name, text in make.LICENSES.items()}
    assert {name: text.split(" (")[0] for name, text in stated.items()} == rows


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no")
    with pytest.raises(DataError, match=r"x\.png"):
        load_dataset(OwnPicture(path=tmp_path / "x.png"))
