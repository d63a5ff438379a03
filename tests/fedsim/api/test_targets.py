"""Targets that are not classes in whole runs: each leaks at batch 1 above its blind guesses."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset
from typer.testing import CliRunner

import fedsim
from fedsim.cli.main import app
from fedsim.core import plugins
from fedsim.core.errors import DataError
from fedsim.core.registry import DATASETS, LOSSES, MODELS
from fedsim.log.run import Run as RunFolder
from fedsim.log.schema import LeakageRecord, Meaning, ReconstructionRecord, RunStarted
from fedsim.log.summary import labels_told

PLAN = {
    "title": "Targets",
    "seed": 1,
    "federation": {"rounds": 1},
    "clients": [{"name": "open", "count": 2}],
    "adversary": {"attack": "best"},
}
DRAWN = torch.Generator().manual_seed(0)
PICTURES = torch.rand(30, 1, 8, 8, generator=DRAWN)
BITS = (torch.rand(30, 5, generator=DRAWN) > 0.7).float()
NUMBERS = torch.rand(30, 2, generator=DRAWN)


@pytest.fixture(autouse=True)
def _registered_for_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (MODELS, DATASETS, LOSSES):
        registry.names()  # finds the others first
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    monkeypatch.setattr(plugins, "_LOADED", dict(plugins._LOADED))


def dense(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, outputs))


class TwoHeads(nn.Module):
    """A network that tells a class and two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh())
        self.kind, self.numbers = nn.Linear(32, 3), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.body(x)
        return {"kind": self.kind(hidden), "numbers": self.numbers(hidden)}


class Both(Dataset[tuple[Tensor, dict[str, Any]]]):
    """Pictures with a class and two numbers each."""

    def __len__(self) -> int:
        return len(PICTURES)

    def __getitem__(self, position: int) -> tuple[Tensor, dict[str, Any]]:
        return PICTURES[position], {"kind": position % 3, "numbers": NUMBERS[position]}


def of_both(outputs: dict[str, Tensor], target: Tensor) -> Tensor:
    kind = -(target[:, :3] * F.log_softmax(outputs["kind"], dim=-1)).sum(-1).mean()
    return kind + F.mse_loss(outputs["numbers"], target[:, 3:])


CASES: dict[str, tuple[Any, Any, Any, str]] = {
    "labels": (lambda: dense(5), TensorDataset(PICTURES, BITS), "bce", "test accuracy per label"),
    "numbers": (
        lambda: dense(2),
        TensorDataset(PICTURES, NUMBERS),
        "mse",
        "explained variance (R²)",
    ),
    "heads": (TwoHeads(), Both(), of_both, "mean quality of the heads"),
}


def run_of(name: str, folder: Path, **changes: Any) -> fedsim.Run:
    model, data, loss, _ = CASES[name]
    return fedsim.run(PLAN, model=model, data=data, loss=loss, out=folder, **changes)


@pytest.mark.parametrize("name", CASES)
def test_it_leaks_in_closed_form(name: str, tmp_path: Path) -> None:
    run = run_of(name, tmp_path / "run")
    scores = [r.score for r in run.records if isinstance(r, LeakageRecord)]
    assert [s.meaning for s in scores] == [Meaning.LEAKED] * 3
    found = [r for r in run.records if isinstance(r, ReconstructionRecord)]
    assert all(r.explained for r in found)
    [started] = [r for r in run.records if isinstance(r, RunStarted)]
    assert started.task == name
    assert run.summary.accuracy_name == CASES[name][3]
    assert all(s.label is None and s.label_found is None for s in scores)


def test_of_several_labels_those_that_the_attack_tells_are_counted(tmp_path: Path) -> None:
    run = run_of("labels", tmp_path / "run")
    scores = [r.score for r in run.records if isinstance(r, LeakageRecord)]
    assert [s.labels_told for s in scores] == [(5, 5)] * 3
    told = labels_told(run.summary)
    assert told is not None
    assert "open 10 of 10; a guess has" in told
    assert run_of("numbers", tmp_path / "other").summary.random_label is None


@pytest.mark.parametrize("name", ["labels", "numbers"])
def test_under_noise_a_search_finds_the_target_too(name: str, tmp_path: Path) -> None:
    noisy = {"name": "noisy", "defenses": [{"name": "gaussian-noise", "std": 0.01}]}
    attack = {"name": "best", "evaluations": 40}
    changes: dict[str, Any] = {"clients": [noisy], "adversary": {"attack": attack}}
    run = run_of(name, tmp_path / "run", **changes)
    private = [r for r in run.records if isinstance(r, LeakageRecord) and not r.is_control]
    assert {r.score.meaning for r in private} == {Meaning.LEAKED}
    assert all(r.score.label_found is None for r in private)


def test_training_improves_the_measure(tmp_path: Path) -> None:
    accuracy = run_of(
        "numbers", tmp_path / "run", federation={"rounds": 6}, adversary=None
    ).accuracy
    assert accuracy[6] > accuracy[0]


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("labels", {"loss": "cross-entropy"}, "the cross-entropy is for classes"),
        ("labels", {"model": lambda: dense(4)}, r"expected a target, \(2, 5\)"),
        ("heads", {"data": TensorDataset(PICTURES, BITS), "loss": None}, "is for classes"),
        (
            "heads",
            {"data": TensorDataset(PICTURES, torch.arange(30) % 3), "loss": None},
            "give a loss of them",
        ),
        ("labels", {"data": {"partition": "dirichlet"}}, "'dirichlet' shares classes out"),
    ],
)
def test_what_does_not_fit_is_refused(
    name: str, changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    model, data, loss, _ = CASES[name]
    if isinstance(changes.get("data"), dict):
        changes = {"data": data, "data.partition": changes["data"]["partition"]}
    given = {"model": model, "data": data, "loss": loss, **changes}
    with pytest.raises(DataError, match=expected):
        fedsim.run(PLAN, out=tmp_path / "run", **given)


PLUGIN = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from fedsim.data import register_data

drawn = torch.Generator().manual_seed(0)
pictures, signs = torch.rand(30, 1, 8, 8, generator=drawn), torch.rand(30, 4, generator=drawn)
register_data("signs", TensorDataset(pictures, (signs > 0.7).float()))
"""
SCENARIO = """
title = "Signs"
data.dataset = "signs"
model = { name = "mlp", hidden = [32] }
clients = [{ name = "open", count = 2 }]
adversary.attack = "best"
federation = { rounds = 1, loss = "bce" }
"""


@pytest.mark.slow
def test_a_scenario_with_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "signs.py").write_text(PLUGIN, "utf-8")
    (tmp_path / "signs.toml").write_text(SCENARIO, "utf-8")
    given = [str(tmp_path / "signs.toml"), "--plugin", str(tmp_path / "signs.py")]
    done = CliRunner().invoke(app, ["run", *given, "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "test accuracy per label" in done.output
    scores = [r.score for r in RunFolder.read(tmp_path / "run").of_kind(LeakageRecord)]
    assert {s.meaning for s in scores} == {Meaning.LEAKED}
    assert "label" in (tmp_path / "run" / "report.html").read_text("utf-8")
