"""Explanations read the log, whatever state the run is in, and are told in the terminal."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import fedsim
from fedsim.cli.main import app
from fedsim.core.errors import RunError
from fedsim.show.explain import explain
from fedsim.show.explain.causes import CAUSES
from tests.fedsim.show.explain.test_constructed_failures import BASE, NOISY


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain") / "run"
    fedsim.run(
        BASE,
        out=folder,
        clients=[{**NOISY[0], "name": "a [bold]name[/bold]"}],
        **{"adversary.attack.evaluations": 250},
    )
    return folder


@pytest.mark.slow
def test_told_in_the_terminal(noisy: Path) -> None:
    result = CliRunner().invoke(app, ["explain", str(noisy)])
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert "a [bold]name[/bold], naive: 0 of 2 leaked 1. the upload is defended" in text
    assert "The clients apply gaussian-noise" in text
    assert "positive control, naive: 1 of 1 leaked the attack succeeded" in text


@pytest.mark.slow
def test_in_python(noisy: Path) -> None:
    run = fedsim.open_run(noisy)
    assert [e.case.group for e in run.explain()] == ["a [bold]name[/bold]", "positive control"]


@pytest.mark.slow
def test_a_run_that_died_and_lost_its_tensors(noisy: Path, tmp_path: Path) -> None:
    lines = (noisy / "records.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "records.jsonl").write_text("".join(lines[: 2 * len(lines) // 3]))
    [first, *_] = explain(tmp_path)
    assert first.findings


def test_nothing_was_attacked(tmp_path: Path) -> None:
    fedsim.run(BASE, out=tmp_path / "run", adversary={"rounds": [], "attack": "dense"})
    result = CliRunner().invoke(app, ["explain", str(tmp_path / "run")])
    assert "No attack of this run has ended" in result.output


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=str(tmp_path)):
        explain(tmp_path)


def test_every_cause_says_what_it_is() -> None:
    assert len(CAUSES) >= 8
    assert all(cause.__doc__ for cause in CAUSES)
