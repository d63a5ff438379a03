"""What holds for every registered data set."""

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from fedsim.core.errors import DataError
from fedsim.core.registry import DATASETS
from fedsim.data import Cifar10, DatasetSource, FashionMnistMini, Folder, Mnist, load_dataset

# Audits register the data of an app, which cannot be read, under a name of their own.
NAMES = [n for n in DATASETS.names() if DATASETS.get(n).__module__.startswith("fedsim.data.")]
NEEDED: dict[str, dict[str, object]] = {
    "folder": {"path": "."},
    "hugging-face-texts": {"path": "imdb"},
    "picture": {"path": "."},
    "sentences": {"texts": ["my account is overdrawn"]},
    "text-file": {"path": "."},
}
BUNDLED = ("fashion-mnist-mini", "messages")
ON_DISK = [name for name in NAMES if name not in (*BUNDLED, *NEEDED)]


def make(name: str, **parameters: object) -> DatasetSource:
    return DATASETS.get(name)(**NEEDED.get(name, {}), **parameters)


def test_all_sets_are_registered() -> None:
    assert set(NAMES) >= {
        "cifar10", "cifar100", "fashion-mnist", "fashion-mnist-mini",
        "folder", "lfw", "mnist", "svhn",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_sources_are_values(name: str) -> None:
    source = make(name)
    assert source == make(name)
    assert hash(source) == hash(make(name))
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301 - our own pickle
    assert DATASETS.name_of(source) == name
    assert DATASETS.summary(name)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_parameter_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="nonsense"):
        make(name, nonsense=1)


def test_parameters_are_not_coerced() -> None:
    with pytest.raises(ValidationError, match="download"):
        Mnist(download="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ON_DISK)
def test_a_missing_set_says_what_to_do(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(make(name), tmp_path)
    message = str(caught.value)
    assert repr(name) in message
    assert str(tmp_path) in message
    assert "data_dir" in message
    assert "fashion-mnist-mini" in message
    assert ("download = true" in message) == (name != "lfw")
    assert list(tmp_path.iterdir()) == []


def test_the_usual_places_are_searched_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match="/usr/share/datasets") as caught:
        load_dataset(Cifar10())
    assert str(tmp_path / "fedsim") in str(caught.value)


def test_a_set_is_loaded_once() -> None:
    assert load_dataset(FashionMnistMini()) is load_dataset(FashionMnistMini())


def test_a_path_from_toml_is_a_string() -> None:
    source = Folder(path="pictures")  # type: ignore[arg-type]
    assert source.path == Path.cwd() / "pictures"
