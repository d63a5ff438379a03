"""Runs in TensorBoard, Weights & Biases and MLflow, read back by the tools' own libraries."""

import importlib
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fedsim.cli.main import app
from fedsim.core.errors import DataError, RunError
from fedsim.show.export.measured import measured
from fedsim.show.export.target import Target, Tool, need
from fedsim.show.export.write import export
from tests.fedsim.engine.tiny import tiny
from tests.fedsim.show.report.logs import Log, write_comparison_log

pytestmark = pytest.mark.filterwarnings("ignore")  # of the tools' libraries
LEAKED = "leakage/undefended/naive/leaked"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Log().write(tmp_path_factory.mktemp("export") / "run")
    (folder / "pictures").mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(folder / "pictures" / "r0001-c0000-naive.png")
    return folder


def test_what_is_exported(run: Path) -> None:
    [found] = measured(run)
    points = {(p.name, p.round): p.value for p in found.points}
    assert points[LEAKED, 1] == 1.0
    assert points["leakage/pruned/adaptive/leaked", 1] == 1.0
    assert points["leakage/undefended/naive/psnr_db_mean", 1] == pytest.approx(41.0)
    assert "accuracy" in {p.name for p in found.points}
    assert found.settings["federation.rounds"] == 1
    assert found.settings["clients.1.defenses.0.name"] == "pruning"
    assert found.group == ""
    assert all(path.is_file() for path in found.pictures.values())


def test_a_picture_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = Log().write(tmp_path / "run")
    (folder / "pictures").mkdir(exist_ok=True)
    (tmp_path / "secret").write_text("mine", "utf-8")
    (folder / "pictures" / "r0001-x.png").symlink_to(tmp_path / "secret")
    with pytest.raises(RunError, match=r"no file 'pictures/r0001-x\.png' inside"):
        measured(folder)


def test_each_run_of_a_comparison_is_one_of_its_group(tmp_path: Path) -> None:
    folder = write_comparison_log(tmp_path / "it", tiny(), finished=4)
    found = measured(folder)
    assert {f.group for f in found} == {"Tiny"}
    assert len(found) == 4


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        export(tmp_path, Tool.TENSORBOARD, Target(tmp_path / "out"))


def test_a_missing_library_is_told_with_its_extra() -> None:
    with pytest.raises(DataError, match=r"pip install 'fedsim-leakage\[wandb\]'"):
        need("fedsim_no_such_library", Tool.WANDB)


@pytest.mark.slow
def test_tensorboard_reads_it(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    told = CliRunner().invoke(app, ["export", str(run), "--to", "tensorboard", "--out",
                                    str(tmp_path / "tb")])  # fmt: skip
    assert told.output.strip() == f"tensorboard --logdir {tmp_path / 'tb'}"
    events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    [folder] = (tmp_path / "tb").iterdir()
    read = events.EventAccumulator(str(folder)).Reload()
    assert [(e.step, e.value) for e in read.Scalars(LEAKED)] == [(1, 1.0)]
    assert len(read.Tags()["images"]) == len(measured(run)[0].pictures)


@pytest.mark.slow
def test_mlflow_reads_it(run: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    told = export(run, Tool.MLFLOW, Target(tmp_path / "ml", project="mine"))
    assert told.endswith(f"--backend-store-uri {(tmp_path / 'ml' / 'mlruns').as_uri()}")
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "ml" / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("mine").experiment_id
    [found] = client.search_runs([experiment])
    assert found.data.metrics[LEAKED] == 1.0
    assert found.data.params["federation.rounds"] == "1"
    assert len(client.list_artifacts(found.info.run_id, "pictures")) > 0


@pytest.mark.slow
def test_wandb_keeps_it_offline(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    told = export(run, Tool.WANDB, Target(tmp_path / "wb"))
    assert told.startswith("wandb sync ")
    [kept] = (tmp_path / "wb" / "wandb").glob("offline-run-*/run-*.wandb")
    content = kept.read_bytes()
    assert LEAKED.encode() in content
    assert b"federation.rounds" in content


def test_tensorboard_has_no_server(run: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(run), "--to", "tensorboard", "--online"])
    assert result.exit_code == 2
