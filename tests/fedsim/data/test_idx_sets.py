import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as tv

from fedsim.core.errors import DataError
from fedsim.data import FashionMnist, Mnist, load_dataset

Writer = Callable[..., dict[str, np.ndarray]]
FileWriter = Callable[..., None]
LAYOUTS = ["", "fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "raw", "fashion-mnist/raw"]


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_usual_layouts_are_found(
    tmp_path: Path, idx_folder: Writer, layout: str, packed: bool
) -> None:
    written = idx_folder(tmp_path / layout, packed=packed)
    before = sorted(tmp_path.rglob("*"))
    data = load_dataset(FashionMnist(), tmp_path)
    assert data.image_shape == (1, 5, 7)
    assert (len(data.train), len(data.test)) == (12, 6)
    np.testing.assert_array_equal(data.train.images[:, 0].numpy(), written["train_images"])
    np.testing.assert_array_equal(data.test.labels.numpy(), written["t10k_labels"])
    assert data.classes[9] == "Ankle boot"
    assert sorted(tmp_path.rglob("*")) == before


def test_an_old_pt_file_is_never_loaded(
    tmp_path: Path, idx_folder: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    idx_folder(tmp_path / "MNIST/raw", packed=False)
    (tmp_path / "MNIST/processed").mkdir()
    for name in ("training.pt", "test.pt"):
        (tmp_path / "MNIST/processed" / name).write_bytes(b"not looked at")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was called"))
    assert len(load_dataset(Mnist(), tmp_path).train) == 12


def test_files_of_another_set_are_not_taken_for_it(
    tmp_path: Path, idx_folder: Writer, write_idx: FileWriter
) -> None:
    idx_folder(tmp_path, packed=False)
    labels = np.array([9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 0])
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels)
    with pytest.raises(DataError, match="belong to 'fashion-mnist'"):
        load_dataset(Mnist(), tmp_path)
    assert len(load_dataset(FashionMnist(), tmp_path).train) == 12


def damaged(kind: str) -> bytes:
    header = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in (12, 5, 7))
    return {
        "empty": b"",
        "short": header + bytes(12 * 35 - 1),
        "long": header + bytes(12 * 35 + 1),
        "no IDX": b"\x89PNG" + bytes(100),
        "a bomb": bytes([0, 0, 8, 3]) + b"\xff" * 12,
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "short", "long", "no IDX", "a bomb"])
def test_a_damaged_file_is_named(tmp_path: Path, idx_folder: Writer, kind: str) -> None:
    idx_folder(tmp_path, packed=False)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(damaged(kind))
    with pytest.raises(DataError, match=file.name):
        load_dataset(Mnist(), tmp_path)


def test_a_truncated_gzip_is_named(tmp_path: Path, idx_folder: Writer) -> None:
    idx_folder(tmp_path, packed=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=file.name):
        load_dataset(Mnist(), tmp_path)


def test_as_many_labels_as_images(
    tmp_path: Path, idx_folder: Writer, write_idx: FileWriter
) -> None:
    idx_folder(tmp_path, packed=False)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(5))
    with pytest.raises(DataError, match=r"6 images and .* 5 labels"):
        load_dataset(Mnist(), tmp_path)


@pytest.mark.parametrize("failure", [urllib.error.URLError("no route"), TimeoutError("no route")])
def test_a_failed_download_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    with pytest.raises(DataError, match=r"cannot get the data set 'mnist'(.|\n)*no route"):
        load_dataset(Mnist(download=True), tmp_path)


def test_the_next_mirror_is_tried(
    tmp_path: Path, idx_folder: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    idx_folder(tmp_path / "server", packed=True)
    asked = []

    def copy(url: str, root: str, filename: str, md5: str) -> None:
        asked.append(url)
        if url.startswith(tv.MNIST.mirrors[0]):
            raise urllib.error.URLError("no route")
        assert len(md5) == 32
        Path(root).mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "server" / filename, root)

    monkeypatch.setattr(tv.utils, "download_url", copy)
    data = load_dataset(Mnist(download=True), tmp_path / "target")
    assert len(data.train) == 12
    assert len(asked) == 8
    assert (tmp_path / "target/MNIST/raw/t10k-labels-idx1-ubyte").is_file()


def test_what_is_on_disk_is_not_downloaded(
    tmp_path: Path, idx_folder: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    idx_folder(tmp_path, packed=True)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("network used"))
    assert len(load_dataset(Mnist(download=True), tmp_path).train) == 12
