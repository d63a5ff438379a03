"""`fedsim.run` and what it returns, as a notebook uses it."""

from pathlib import Path

import pytest

import fedsim
from fedsim.api.overrides import settings
from fedsim.core.errors import RunError, ScenarioError
from fedsim.log.schema import CONTROL
from tests.fedsim.text_runs import texts

TINY = {
    "title": "Tiny <b>run</b>",
    "seed": 3,
    "data": {"dataset": "fashion-mnist-mini", "partition": "iid"},
    "model": {"name": "mlp", "hidden": [16]},
    "federation": {"rounds": 1, "upload": "gradient", "batch_size": 2, "learning_rate": 0.1},
    "clients": [
        {"name": "open", "count": 1},
        {"name": "<i>noisy</i>", "count": 1, "defenses": [{"name": "gaussian-noise", "std": 1.0}]},
    ],
    "adversary": {"attack": {"name": "dlg", "evaluations": 20}},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> fedsim.Run:
    return fedsim.run(TINY, out=tmp_path_factory.mktemp("api") / "run")


def test_table(finished: fedsim.Run) -> None:
    table = finished.table()
    assert [row["clients"] for row in table] == ["open", "<i>noisy</i>", CONTROL]
    assert [row["attacked"] for row in table] == [2, 2, 2]
    assert table[0]["accuracy"] == finished.accuracy[1]
    assert table[2]["accuracy"] is None
    assert table.to_csv().splitlines()[0].startswith("clients,defense,attacker,attacked,leaked,")
    assert len(str(table).splitlines()) == 4


def test_shows(finished: fedsim.Run) -> None:
    assert finished.victims == ["r0001-c0000-naive", "r0001-c0001-naive", "r0001-control-naive"]
    figures = finished.figures(0)
    names = [figure.path.name for figure in figures]
    assert names == ["r0001-c0000-naive-0.png", "r0001-c0000-naive-1.png"]
    assert repr(finished.figures("r0001-c0000-naive")) == repr(finished.figures(0))
    assert "data:image/png;base64,iVBOR" in finished.figures(-1)._repr_html_()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_shows_texts(tmp_path: Path, size: int) -> None:
    ran = fedsim.run(texts(f"federation.batch_size={size}"), out=tmp_path / "run")
    shown = ran.figures(0)
    assert len(shown) == size
    assert "private" in repr(shown)
    assert "data:image/svg+xml" in shown._repr_html_()


def test_markup_is_shown_and_not_obeyed(finished: fedsim.Run) -> None:
    for shown in (finished, finished.table(), finished.figures(1)):
        page = shown._repr_html_()
        assert "<i>noisy" not in page
        assert "<b>run" not in page
        assert "&lt;i&gt;noisy" in page


@pytest.mark.parametrize("victim", ["r0009", 3, -4])
def test_no_such_victim(finished: fedsim.Run, victim: str | int) -> None:
    with pytest.raises(RunError, match=r"expected a position from 0 to 2, or one of r0001-c0000"):
        finished.figures(victim)


def test_a_run_is_opened_again(finished: fedsim.Run) -> None:
    again = fedsim.open_run(str(finished.folder))
    assert again.records == finished.records
    assert repr(again) == repr(finished)
    assert again.write_report().read_text().startswith("<!doctype html>")


def test_explanations_show_themselves(finished: fedsim.Run) -> None:
    told = finished.explain()
    assert len(told) == 3
    assert "<i>noisy</i>, naive: " in repr(told)
    assert "&lt;i&gt;noisy&lt;/i&gt;, naive" in told._repr_html_()
    assert "<i>noisy" not in told._repr_html_()


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=str(tmp_path)):
        fedsim.open_run(tmp_path)


def test_a_used_folder_is_refused(finished: fedsim.Run) -> None:
    with pytest.raises(RunError, match="empty"):
        fedsim.run(TINY, out=finished.folder)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"federation": {"round": 1}}, "did you mean 'rounds'"),
        ({"federation.rounds": 0}, r"federation\.rounds"),
        ({"clients.7.count": 1}, "expected a number from 0 to 1 in place of '7'"),
        ({"adversary": {"attack": {"name": "dgl"}}}, "dlg"),
    ],
)
def test_bad_overrides_are_refused(
    overrides: dict[str, object], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError, match=expected):
        fedsim.run(TINY, out=tmp_path / "none", **overrides)
    assert not (tmp_path / "none").exists()


def test_settings() -> None:
    attack = {"name": "dlg", "evaluations": 3}
    assert settings({"seed": 1, "federation": {"rounds": 2}, "adversary": {"attack": attack}}) == [
        ("seed", 1),
        ("federation.rounds", 2),
        ("adversary.attack", attack),
    ]


def test_live(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fedsim.run(TINY, out=tmp_path / "live", live=True, adversary={"attack": "dense"})
    assert "round 1" in capsys.readouterr().out
