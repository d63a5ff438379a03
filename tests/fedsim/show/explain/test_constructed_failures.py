"""Each failure is constructed, run for real, and its true cause named first."""

from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.show.explain import Explanation, explain

BASE: dict[str, Any] = {
    "title": "Constructed",
    "seed": 3,
    "data": {"dataset": "fashion-mnist-mini", "partition": "iid"},
    "model": {"name": "lenet"},
    "federation": {"rounds": 1, "upload": "gradient", "batch_size": 1, "learning_rate": 0.1},
    "clients": [{"name": "clients", "count": 2}],
    "adversary": {"attack": {"name": "idlg", "evaluations": 150}},
}
NOISY = [{"name": "clients", "count": 2, "defenses": [{"name": "gaussian-noise", "std": 0.1}]}]


def idlg(evaluations: int) -> dict[str, Any]:
    return {"attack": {"name": "idlg", "evaluations": evaluations}}


CONSTRUCTED: dict[str, dict[str, Any]] = {
    "too many local steps": {
        "federation": {"upload": "update", "local_steps": 4, "batch_size": 2},
        "adversary": idlg(40),
    },
    "batch normalisation in training mode": {
        "model": {"name": "resnet18"},
        "federation.batch_size": 2,
        "clients.0.count": 1,
        "adversary": idlg(8),
    },
    "ReLU or max pooling: no second derivative to follow": {
        "model": {"name": "convnet", "activation": "relu", "channels": [4, 4]},
        "adversary": idlg(300),
    },
    "wrong learning rate": {
        "federation.upload": "update",
        "adversary.learning_rate": 0.5,
    },
    "a large batch with repeated labels": {
        "federation.batch_size": 16,
        "adversary": idlg(150),
    },
    "the upload is defended": {"clients": NOISY},
    "the optimiser diverged": {
        "adversary.attack": {"name": "inverting-gradients", "evaluations": 60, "step_size": 1e3},
    },
    "the labels were not found": {
        "model": {"name": "mlp", "hidden": [64], "activation": "relu"},
        "clients.0.count": 4,
        "adversary.attack": {"name": "dlg", "evaluations": 60, "start": "normal"},
    },
    "too few evaluations": {"adversary": idlg(20)},
}


QUICK = {"wrong learning rate", "too few evaluations"}


def explained(folder: Path, **overrides: Any) -> dict[str, Explanation]:
    run = fedsim.run(BASE, out=folder, **overrides)
    return {f"{e.case.group}, {e.case.attacker}": e for e in explain(run.folder)}


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(cause, marks=[] if cause in QUICK else pytest.mark.slow)
        for cause in CONSTRUCTED
    ],
)
def test_the_true_cause_comes_first(cause: str, tmp_path: Path) -> None:
    found = explained(tmp_path / "run", **CONSTRUCTED[cause])["clients, naive"]
    assert [f.cause for f in found.findings][:1] == [cause]
    strengths = [f.strength for f in found.findings]
    assert strengths == sorted(strengths, reverse=True)


@pytest.mark.slow
def test_an_attack_that_gives_up(tmp_path: Path) -> None:
    found = explained(
        tmp_path / "run", **{"adversary.attack": "dense", "model": {"name": "convnet"}}
    )["clients, naive"]
    assert found.findings[0].cause == "the attack gave up"
    assert "dense" in found.findings[0].evidence


@pytest.mark.slow
def test_success_needs_no_explanation(tmp_path: Path) -> None:
    found = explained(tmp_path / "run", **{"adversary.attack.evaluations": 300})
    assert [e.findings for e in found.values()] == [[], []]


@pytest.mark.slow
def test_the_naive_is_told_of_the_adaptive(tmp_path: Path) -> None:
    pruned = [{"name": "clients", "defenses": [{"name": "pruning", "fraction": 0.7}]}]
    found = explained(
        tmp_path / "run",
        clients=pruned,
        **{"adversary.adaptive": True, "adversary.attack.evaluations": 300},
    )
    [finding, *_] = found["clients, naive"].findings
    assert finding.cause == "the upload is defended"
    assert "adaptive" in finding.advice
    assert found["clients, adaptive"].findings == []
