import hashlib
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from fedsim.data import FashionMnist, FashionMnistMini, load_dataset
from fedsim.data.embedded import _make as make

WHOLE = Path("/usr/share/datasets/fashion-mnist")
whole = pytest.mark.skipif(not WHOLE.is_dir(), reason="Fashion-MNIST is not installed")
FOLDER = resources.files("fedsim.data.embedded")


def test_shape_and_balance() -> None:
    data = load_dataset(FashionMnistMini())
    assert data.image_shape == (1, 28, 28)
    assert data.num_classes == 10
    assert torch.bincount(data.train.labels).tolist() == [200] * 10
    assert torch.bincount(data.test.labels).tolist() == [50] * 10
    assert data.train.images.max() == 255


def test_no_image_is_in_both_parts() -> None:
    data = load_dataset(FashionMnistMini())
    seen = {image.numpy().tobytes() for image in data.train.images}
    assert len(seen) == 2000
    assert not seen & {image.numpy().tobytes() for image in data.test.images}


def test_classes_are_mixed() -> None:
    first = load_dataset(FashionMnistMini()).train.labels[:100]
    assert len(first.unique()) == 10


def test_the_licence_travels_with_the_images() -> None:
    licence = FOLDER.joinpath("LICENSE-fashion-mnist").read_text("utf-8")
    assert "2017 Zalando SE" in licence
    assert "Permission is hereby granted" in licence
    content = json.loads(FOLDER.joinpath("fashion-mnist-mini.json").read_text("utf-8"))
    assert content["license"] == licence


def test_the_origin_names_this_very_file() -> None:
    content = FOLDER.joinpath("fashion-mnist-mini.json").read_bytes()
    origin = FOLDER.joinpath("ORIGIN.md").read_text("utf-8")
    assert hashlib.sha256(content).hexdigest() in origin


@whole
def test_the_script_makes_the_same_images_again() -> None:
    data = load_dataset(FashionMnistMini())
    made = make.draw(WHOLE)
    for part, split in (("train", data.train), ("test", data.test)):
        np.testing.assert_array_equal(made[f"{part}_images"], split.images[:, 0].numpy())
        np.testing.assert_array_equal(made[f"{part}_labels"], split.labels.numpy())


@whole
@pytest.mark.parametrize("data_dir", [WHOLE, WHOLE.parent])
def test_debians_files_are_read_as_they_are(data_dir: Path) -> None:
    data = FashionMnist().load(data_dir)
    assert torch.bincount(data.train.labels).tolist() == [6000] * 10
    assert len(data.test) == 10_000
