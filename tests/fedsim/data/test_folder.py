from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedsim.core.errors import DataError
from fedsim.data import Folder, Lfw, load_dataset
from fedsim.data.picture_files import held_out

Picture = Callable[..., Path]


def test_sub_folders_are_classes(tmp_path: Path, picture: Picture) -> None:
    for kind, colour in (("cats", "white"), ("dogs", "black")):
        for number in range(5):
            picture(tmp_path / kind / f"{number}.png", colour)
    (tmp_path / "cats" / "notes.txt").write_text("passed over")
    (tmp_path / "cats" / "._0.png").write_text("passed over")
    (tmp_path / "empty").mkdir()
    data = load_dataset(Folder(path=tmp_path, size=4, channels=1))
    assert data.classes == ("cats", "dogs")
    assert data.image_shape == (1, 4, 4)
    assert sorted(data.train.labels.tolist()) == [0] * 4 + [1] * 4
    assert sorted(data.test.labels.tolist()) == [0, 1]
    white = data.train.images.flatten(1).amin(1) == 255
    assert torch.equal(white, data.train.labels == 0)


def test_a_flat_folder_gets_made_up_classes(tmp_path: Path, picture: Picture) -> None:
    for number in range(6):
        picture(tmp_path / f"{number}.png", (number, 0, 0))
    data = load_dataset(Folder(path=tmp_path, classes=4, size=2))
    pairs = [
        (int(image[0, 0, 0]), int(label))
        for split in (data.train, data.test)
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    assert sorted(pairs) == [(number, number % 4) for number in range(6)]
    assert data.num_classes == 4


def test_two_pictures_suffice(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.jpg")
    data = load_dataset(Folder(path=tmp_path))
    assert (len(data.train), len(data.test)) == (1, 1)


@pytest.mark.parametrize("names", [[], ["a.png"], ["notes.txt"]])
def test_too_few_pictures(tmp_path: Path, picture: Picture, names: list[str]) -> None:
    for name in names:
        if name.endswith(".png"):
            picture(tmp_path / name)
        else:
            (tmp_path / name).write_text("words")
    with pytest.raises(DataError, match="expected at least 2"):
        load_dataset(Folder(path=tmp_path))


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        load_dataset(Folder(path=tmp_path / "nowhere"))


@pytest.mark.parametrize("names", [["a/1.png"], ["1.png", "a/1.png", "b/1.png"]])
def test_a_mixed_folder(tmp_path: Path, picture: Picture, names: list[str]) -> None:
    for name in names:
        picture(tmp_path / name)
    with pytest.raises(DataError, match="either pictures alone, or at least two"):
        load_dataset(Folder(path=tmp_path))


def test_a_broken_picture_is_named(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png"):
        load_dataset(Folder(path=tmp_path))


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"channels": 2}, {"test_fraction": 1.0}, {"classes": 1}]
)
def test_wrong_parameters(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Folder(path=Path(), **wrong)  # type: ignore[arg-type]


@given(labels=st.lists(st.integers(0, 4), min_size=2, max_size=60), fraction=st.floats(0.05, 0.95))
def test_held_out_in_proportion(labels: list[int], fraction: float) -> None:
    names = [f"{label}/{row}.png" for row, label in enumerate(labels)]
    chosen = held_out(names, labels, fraction)
    assert chosen == held_out(names, labels, fraction)
    assert len(chosen) == min(max(1, round(fraction * len(labels))), len(labels) - 1)
    for label in set(labels):
        size = labels.count(label)
        test = sum(labels[row] == label for row in chosen)
        assert abs(test - len(chosen) / len(labels) * size) <= 2


def test_held_out_does_not_depend_on_the_order() -> None:
    names = [f"{row}.png" for row in range(20)]
    forward = {names[row] for row in held_out(names, [0] * 20, 0.3)}
    backward = {names[::-1][row] for row in held_out(names[::-1], [0] * 20, 0.3)}
    assert forward == backward


@pytest.mark.parametrize("layout", ["", "lfw-py/lfw_funneled", "lfw_home/lfw_funneled", "lfw"])
def test_lfw_is_found(tmp_path: Path, picture: Picture, layout: str) -> None:
    for person, count in (("Ada_L", 5), ("Bob_M", 1), ("Cy_N", 5)):
        for number in range(1, count + 1):
            picture(tmp_path / layout / person / f"{person}_{number:04d}.jpg")
    data = load_dataset(Lfw(size=8), tmp_path)
    assert data.classes == ("Ada_L", "Bob_M", "Cy_N")
    assert data.image_shape == (3, 8, 8)
    assert (len(data.train), len(data.test)) == (9, 2)
    assert load_dataset(Lfw(min_images=2), tmp_path).classes == ("Ada_L", "Cy_N")
