"""The command that audits recorded uploads and Flower apps."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner, Result

from fedsim.cli.main import app
from fedsim.cli.threshold import LEAKS, NO_EVIDENCE
from fedsim.core.errors import RunError
from fedsim.engine.audit.hosted import AppFolder
from fedsim.engine.audit.loading import imported, load_tensors, numbers, shape_in
from fedsim.engine.audit.request import Request, truth_in
from fedsim.log.ladder import read_ladder
from fedsim.log.run import Run
from fedsim.log.schema import ReconstructionRecord, SumRecord, UploadRecord
from tests.fedsim.engine.audit.quickstart import write

MODEL = "tests.fedsim.engine.audit.apps:plain"
RATE = 0.1


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Return a folder with one recorded step of one client."""
    torch.manual_seed(0)
    model = imported(MODEL)()
    inputs, labels = torch.rand(1, 1, 8, 8), torch.tensor([2])
    save_file(model.state_dict(), tmp_path / "before.safetensors")
    F.cross_entropy(model(inputs), labels).backward()
    torch.optim.SGD(model.parameters(), lr=RATE).step()
    state = {k: v.detach().clone() for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "after.safetensors")
    np.savez(tmp_path / "after.npz", **{k: v.numpy() for k, v in state.items()})
    torch.save({"state_dict": state}, tmp_path / "after.pt")
    save_file({"inputs": inputs, "labels": labels}, tmp_path / "truth.safetensors")
    return tmp_path


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedsim.api.watch.draw", lambda run, anew=False: None)
    monkeypatch.setattr("fedsim.show.conclude.conclude_run", lambda folder: None)


def audit(folder: Path, *options: str, after: str = "after.safetensors") -> Result:
    given = ["audit", "--model", MODEL, "--input-shape", "1x8x8", "--learning-rate", str(RATE)]
    given += ["--before", str(folder / "before.safetensors"), "--after", str(folder / after)]
    return CliRunner().invoke(app, [*given, "--json", "--out", str(folder / "run"), *options])


def said(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("after", ["after.safetensors", "after.npz", "after.pt"])
def test_recorded_uploads_leak(after: str, recorded: Path) -> None:
    truth = ("--truth", str(recorded / "truth.safetensors"))
    result = audit(recorded, *truth, "--fail-above", "0.5", after=after)
    assert result.exit_code == LEAKS, result.output
    found = said(result)
    assert (found["leakage"], found["control"]) == (1.0, True)
    assert found["headline"] == "1 of 1 private picture leaked."


@pytest.mark.usefixtures("undrawn")
def test_without_the_truth_there_is_no_evidence(recorded: Path) -> None:
    result = audit(recorded, "--fail-above", "0.5")
    assert result.exit_code == NO_EVIDENCE, result.output
    assert said(result)["leakage"] is None
    assert "unscored" in said(result)["headline"]


@pytest.mark.usefixtures("undrawn")
def test_an_attack_that_failed_is_no_evidence_although_its_control_did_not(recorded: Path) -> None:
    sent = load_file(recorded / "before.safetensors")
    other = {name: tensor + 0.01 * torch.randn_like(tensor) for name, tensor in sent.items()}
    save_file(other, recorded / "wrong.safetensors")
    truth = ("--truth", str(recorded / "truth.safetensors"))
    effort = ("--fail-above", "0", "--evaluations", "20")
    result = audit(recorded, *truth, *effort, after="wrong.safetensors")
    found = said(result)
    assert (found["leakage"], found["control"], found["possible"]) == (0.0, True, 1.0)
    assert result.exit_code == NO_EVIDENCE, result.output


@pytest.mark.usefixtures("undrawn")
def test_a_threshold_above_the_leakage_passes(recorded: Path) -> None:
    truth = ("--truth", str(recorded / "truth.safetensors"))
    assert audit(recorded, *truth, "--fail-above", "1").exit_code == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--model", ""], "--model is missing"),
        (["--model", "no_such_module:Net"], "cannot be imported"),
        (["--model", "Net"], "expected module:name"),
        (["--input-shape", "large"], "expected a shape such as 3x32x32"),
        (["--normalise", "0.5"], "expected mean/std"),
        (["--range", "1"], "expected two numbers"),
        (["--truth", "nowhere.safetensors"], "there is no such file"),
    ],
)
def test_wrong_options_are_refused(options: list[str], text: str, recorded: Path) -> None:
    result = audit(recorded, *options)
    assert isinstance(result.exception, RunError)
    assert text in str(result.exception)


def test_an_app_and_recorded_uploads_are_two_things(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["audit", "--model", MODEL])
    assert "expected the folder of a Flower app" in str(result.exception)


def test_files_hold_tensors_alone(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("executed",)

    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(RunError, match="cannot be read as tensors alone"):
        load_tensors(tmp_path / "evil.pt")
    np.savez(tmp_path / "evil.npz", a=np.array([Evil()], dtype=object))
    with pytest.raises(RunError, match="cannot be read as tensors alone"):
        load_tensors(tmp_path / "evil.npz")
    (tmp_path / "odd.pickle").write_bytes(b"")
    with pytest.raises(RunError, match=r"ends in \.safetensors"):
        load_tensors(tmp_path / "odd.pickle")


def test_a_truth_has_a_file_for_each_client(recorded: Path) -> None:
    with pytest.raises(RunError, match="1 files for 2 uploads"):
        truth_in(recorded / "truth.safetensors", 2)


def test_numbers_and_shapes() -> None:
    assert numbers("0.5,1") == (0.5, 1.0)
    assert shape_in("3x32X32") == (3, 32, 32)


def test_a_model_can_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import torch\nNet = lambda: torch.nn.Linear(2, 2)\n")
    assert isinstance(imported(f"{tmp_path / 'mine.py'}:Net")(), nn.Module)


def test_the_config_of_an_app_is_flat_and_can_be_changed(tmp_path: Path) -> None:
    found = AppFolder.read(write(tmp_path / "app"), {"local-epochs": 2})
    assert found.serverapp == "pytorchexample.server_app:app"
    assert (found.run_config["local-epochs"], found.run_config["batch-size"]) == (2, 32)
    assert found.clients == 2
    with (tmp_path / "app" / "pyproject.toml").open("a") as file:
        file.write('[tool.flwr.federations]\ndefault = "local-simulation"\n')
        file.write("[tool.flwr.federations.local-simulation]\noptions.num-supernodes = 10\n")
    assert AppFolder.read(tmp_path / "app").clients == 10
    with pytest.raises(RunError, match="has no 'epochs'"):
        AppFolder.read(tmp_path / "app", {"epochs": 2})
    with pytest.raises(RunError, match="expected the folder of a Flower app"):
        AppFolder.read(tmp_path)


@pytest.mark.parametrize(
    ("facts", "examples", "expected"),
    [
        ({"steps": 1, "batch_size": 8}, 8, (1, None)),
        ({"steps": 4, "batch_size": 8}, 13, (None, 2)),
        ({"steps": 3, "batch_size": 8}, 13, (3, None)),
        ({}, 0, (None, None)),
    ],
)
def test_a_watched_training_of_whole_passes_is_one_of_epochs(
    facts: dict[str, int], examples: int, expected: tuple[int | None, int | None]
) -> None:
    request = Request(MODEL, *[None] * 10, uploads="weights")
    assert request._effort(facts, examples) == expected


def process(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from fedsim.cli.main import main; main()", "audit"]
    return subprocess.run(
        [*command, *options, "--json"], capture_output=True, text=True, check=False, timeout=280
    )


DENSE = """

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 32), nn.Tanh(), nn.Linear(32, 10))

    def forward(self, x):
        return self.net(x)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "more", "codes"),
    [("pytorchexample", "", {LEAKS, NO_EVIDENCE}), ("", DENSE, {LEAKS})],
    ids=["as created", "dense, in modules"],
)
def test_a_quickstart_is_audited_as_it_is(
    package: str, more: str, codes: set[int], tmp_path: Path
) -> None:
    folder = write(tmp_path / "app", package, most=1)
    with (folder / package / "task.py").open("a") as task:
        task.write(more)
    before = {p: p.read_bytes() for p in folder.rglob("*.py")}
    name = f"{package}.task:Net".lstrip(".")
    done = process(
        str(folder), "--model", name, "--out", str(tmp_path / "run"), "--fail-above", "0",
        "--set", "batch-size=1", "--set", "num-server-rounds=1",
        "--evaluations", "5",
    )  # fmt: skip
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert done.returncode in codes, done.stderr
    assert found["leakage"] == (done.returncode == LEAKS)
    assert found["control"] or more == ""
    assert not found["remarks"], found["remarks"]
    assert (tmp_path / "run" / "report.html").is_file()
    assert {p: p.read_bytes() for p in folder.rglob("*.py")} == before
    assert (folder / "final_model.pt").is_file()


def secure(folder: Path) -> list[str]:
    """Write a small app under secure aggregation, and return the options of its audit."""
    place = write(folder, most=2, secure=True) / "pytorchexample"
    with (place / "task.py").open("a") as task:
        task.write(DENSE)
    server = place / "server_app.py"  # Flower rounds the few examples' share of 1000 coarsely
    server.write_text(server.read_text().replace("max_weight=1000", "max_weight=2"))
    return [str(folder), "--model", "pytorchexample.task:Net", "--set", "num-server-rounds=1"]


@pytest.mark.slow
def test_secure_aggregation_among_too_few_clients_is_refused(tmp_path: Path) -> None:
    refused = process(*secure(tmp_path / "app"), "--out", str(tmp_path / "none"))
    assert refused.returncode == 1
    assert "give --clients 3" in refused.stderr


@pytest.mark.slow
def test_of_secure_aggregation_the_sum_alone_is_seen(tmp_path: Path) -> None:
    effort = ("--clients", "3", "--fail-above", "0", "--evaluations", "60")
    done = process(*secure(tmp_path / "app"), "--out", str(tmp_path / "run"), *effort)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    run = Run.read(tmp_path / "run")
    [total] = run.of_kind(SumRecord)
    assert (total.partitions, total.examples) == ((0, 1, 2), 6)
    assert all(upload.digest is None for upload in run.of_kind(UploadRecord))
    [attacked] = [r for r in run.of_kind(ReconstructionRecord) if r.victim.startswith("r0001-sum")]
    assert attacked.explained, done.stderr
    assert sum(found["examples"].values()) == 6
    assert found["leakage"] > 0.5
    assert done.returncode == LEAKS


@pytest.mark.slow
def test_a_ladder_beside_recorded_uploads(recorded: Path, undrawn: None) -> None:
    result = audit(recorded, "--ladder", "--evaluations", "1", "--ladder-limit", "30")
    assert result.exit_code == 0, result.output
    found = read_ladder(recorded / "run" / "ladder")
    assert found.rungs[0].found is not None
    assert (recorded / "run" / "ladder" / "report.html").is_file()


@pytest.mark.slow
def test_a_ladder_alone(tmp_path: Path) -> None:
    given = ["audit", "--ladder", "--model", MODEL, "--input-shape", "1x8x8", "--learning-rate"]
    given += [str(RATE), "--steps", "2", "--evaluations", "1", "--out", str(tmp_path / "ladder")]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "local steps" in result.stdout
    assert "about" in result.stderr
    assert "protected" not in result.stdout
