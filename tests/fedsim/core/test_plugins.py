"""Plugin files: imported under a private name, by path, once."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fedsim.core.plugins
from fedsim.core.errors import PluginError
from fedsim.core.plugins import Plugin, load_plugin, loaded_plugins
from fedsim.core.registry import DEFENSES

HALVE = """
from fedsim.clients.defenses import Defense, Protected
from fedsim.core.registry import DEFENSES


@DEFENSES.register("halve")
class Halve(Defense):
    '''Halve each value.'''

    def protect_upload(self, upload, generator):
        return Protected({k: v / 2 for k, v in upload.items()})
"""


@pytest.fixture(autouse=True)
def _own_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    DEFENSES.names()
    monkeypatch.setattr(DEFENSES, "_classes", dict(DEFENSES._classes))
    monkeypatch.setattr(fedsim.core.plugins, "_LOADED", {})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("_fedsim_plugin"):
            del sys.modules[name]


def written(folder: Path, text: str = HALVE, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_what_a_file_registers_counts(tmp_path: Path) -> None:
    module = load_plugin(written(tmp_path))
    assert "halve" in DEFENSES.names()
    assert DEFENSES.get("halve").__module__ == module.__name__
    assert "mine" not in sys.modules
    [plugin] = loaded_plugins()
    assert plugin.name == "mine.py"
    assert len(plugin.sha256) == 64


def test_a_file_is_imported_once_and_again_when_it_was_changed(tmp_path: Path) -> None:
    path = written(tmp_path)
    first = load_plugin(path)
    assert load_plugin(path) is first
    written(tmp_path, HALVE.replace("/ 2", "/ 4"))
    assert load_plugin(path) is not first
    assert len(loaded_plugins()) == 1


def test_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = load_plugin(written(tmp_path, "x = 1"))
    second = load_plugin(written(tmp_path / "other", "x = 2"))
    assert (first.x, second.x) == (1, 2)


def test_another_process_gets_it_by_its_text(tmp_path: Path) -> None:
    load_plugin(written(tmp_path))
    [plugin] = loaded_plugins()
    sent: Plugin = pickle.loads(pickle.dumps(plugin))  # noqa: S301
    (tmp_path / "mine.py").unlink()
    fedsim.core.plugins._LOADED.clear()
    DEFENSES._classes.pop("halve")
    sent.load()
    assert "halve" in DEFENSES.names()


def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(PluginError, match=r"mine.py could not be loaded: ZeroDivisionError"):
        load_plugin(written(tmp_path, "1 / 0"))
    assert not {n for n in set(sys.modules) - before if n.startswith("_fedsim_plugin")}
    with pytest.raises(PluginError, match="expected a Python file"):
        load_plugin(tmp_path / "none.py")
    assert loaded_plugins() == ()
