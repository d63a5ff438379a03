"""`fedsim.compare` and what it returns."""

from pathlib import Path

import pytest

import fedsim
from fedsim.core.errors import RunError, ScenarioError

TINY = {
    "title": "Tiny",
    "clients": 2,
    "seeds": [0],
    "stages": {"untrained": 1},
    "victims": 1,
    "adaptive": False,
    "scenario": {
        "data": {"dataset": "fashion-mnist-mini"},
        "model": {"name": "mlp", "hidden": [8]},
        "federation": {"rounds": 1, "upload": "gradient", "batch_size": 1, "learning_rate": 0.1},
        "adversary": {"attack": "dense"},
    },
    "grid": [
        {},
        {"label": "noise", "defenses": [{"name": "gaussian-noise", "std": [1e-3, 1.0]}]},
    ],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> fedsim.Compared:
    return fedsim.compare(TINY, out=tmp_path_factory.mktemp("api") / "comparison")


def test_table(finished: fedsim.Compared) -> None:
    table = finished.table()
    assert len(table) == 3
    assert len(finished.results) == 3
    assert str(table).splitlines()[0].split()[0] == table.columns[0]
    assert "<table>" in finished._repr_html_()


def test_shows(finished: fedsim.Compared) -> None:
    stems = [figure.path.stem for figure in finished.figures()]
    assert stems == ["frontier-untrained", "strengths-untrained"]
    assert finished.figures()._repr_html_().count("<img") == 2
    assert finished.write_report().is_file()
    assert finished.advice


def test_goes_on_where_it_was(finished: fedsim.Compared) -> None:
    again = fedsim.compare(finished.comparison, out=finished.folder)
    assert again.results == finished.results
    assert fedsim.open_comparison(str(finished.folder)).results == finished.results


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=str(tmp_path)):
        fedsim.open_comparison(tmp_path)
    with pytest.raises(ScenarioError, match="seedz"):
        fedsim.compare(TINY, out=tmp_path / "x", seedz=[1])
