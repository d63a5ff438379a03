import hashlib
import pickle
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets as tv

from fedsim.core.errors import DataError
from fedsim.data import Cifar10, Cifar100, Svhn, load_dataset


class Trap:
    """Unpickling this leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.trace,))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def trap_all(root: Path, source: Cifar10 | Cifar100) -> Path:
    trace = root / "trace"
    for file in source.checksums():
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_bytes(pickle.dumps(Trap(trace)))
    return trace


@pytest.mark.parametrize("source", [Cifar10(), Cifar100()], ids=lambda source: source.name)
def test_no_unverified_pickle_is_opened(tmp_path: Path, source: Cifar10 | Cifar100) -> None:
    trace = trap_all(tmp_path, source)
    with pytest.raises(DataError, match=r"damaged(.|\n)*not opened"):
        load_dataset(source, tmp_path)
    assert not trace.exists()


def test_nor_when_a_download_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    trace = trap_all(tmp_path, Cifar10())
    with pytest.raises(DataError, match="no route"):
        load_dataset(Cifar10(download=True), tmp_path)
    assert not trace.exists()


@pytest.fixture
def small_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray]:
    """CIFAR-10's layout with 12 images, and its checksums in place of the true ones."""
    folder = tmp_path / tv.CIFAR10.base_folder
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3 * 32 * 32)).astype(np.uint8)
    for name, _ in [*tv.CIFAR10.train_list, *tv.CIFAR10.test_list]:
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [3, 9]}))
    names = [f"class {label}" for label in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    for part in ("train_list", "test_list"):
        sums = [[name, md5(folder / name)] for name, _ in getattr(tv.CIFAR10, part)]
        monkeypatch.setattr(tv.CIFAR10, part, sums)
    meta = {**tv.CIFAR10.meta, "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(tv.CIFAR10, "meta", meta)
    sums = {str(file.relative_to(tmp_path)): md5(file) for file in folder.iterdir()}
    monkeypatch.setattr(Cifar10, "checksums", lambda source: sums)
    return tmp_path, pixels


def test_cifar_is_read_in_torchvisions_layout(small_cifar: tuple[Path, np.ndarray]) -> None:
    root, pixels = small_cifar
    data = load_dataset(Cifar10(), root)
    assert data.image_shape == (3, 32, 32)
    assert (len(data.train), len(data.test)) == (10, 2)
    assert data.classes[3] == "class 3"
    assert data.test.labels.tolist() == [3, 9]
    np.testing.assert_array_equal(data.test.images.numpy(), pixels.reshape(2, 3, 32, 32))


def test_cifar_is_unpacked_in_the_folder_that_was_named(
    small_cifar: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = small_cifar
    target = tmp_path / "target"
    target.mkdir()
    archive = target / tv.CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root / tv.CIFAR10.base_folder, tv.CIFAR10.base_folder)
    monkeypatch.setattr(tv.CIFAR10, "tgz_md5", md5(archive))
    with pytest.raises(DataError, match="not on disk"):
        load_dataset(Cifar10(), target)
    assert len(load_dataset(Cifar10(download=True), target).train) == 10
    assert (target / tv.CIFAR10.base_folder / "test_batch").is_file()


def test_svhn_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4)).astype(np.uint8)
    split_list = {}
    for part in ("train", "test"):
        file = tmp_path / "svhn" / f"{part}_32x32.mat"
        file.parent.mkdir(exist_ok=True)
        scipy.io.savemat(file, {"X": pixels, "y": np.array([[1], [10], [3], [2]])})
        split_list[part] = ["http://localhost", file.name, md5(file)]
    monkeypatch.setattr(tv.SVHN, "split_list", split_list)
    sums = {file: checksum for _, file, checksum in split_list.values()}
    monkeypatch.setattr(Svhn, "checksums", lambda source: sums)
    data = load_dataset(Svhn(), tmp_path)
    assert data.train.labels.tolist() == [1, 0, 3, 2]
    assert torch.equal(data.train.images[1], torch.from_numpy(pixels[..., 1]).permute(2, 0, 1))
