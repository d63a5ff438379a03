"""Flower and Ray kept quiet."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedsim.core import environment
from fedsim.engine.flower import logs_to

NAMES = ("flwr", "ray")


def state() -> list[tuple[list[logging.Handler], bool]]:
    return [(logging.getLogger(n).handlers[:], logging.getLogger(n).propagate) for n in NAMES]


def test_logs_go_to_the_file_and_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, before = tmp_path / "flower.log", state()
    with logs_to(path):
        logging.getLogger("flwr").warning("from Flower: é")
        logging.getLogger("ray.worker").error("from Ray")
    lines = path.read_text("utf-8").splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "WARNING flwr: from Flower: é",
        "ERROR ray.worker: from Ray",
    ]
    assert capfd.readouterr() == ("", "")
    assert state() == before


def test_loggers_are_restored_after_an_error(tmp_path: Path) -> None:
    before = state()
    with pytest.raises(KeyError), logs_to(tmp_path / "flower.log"):
        raise KeyError
    assert state() == before


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*environment.VARIABLES, "FLWR_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "mine")
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    environment.prepare()
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "mine"
    assert os.environ["FLWR_HOME"] == str(tmp_path)
    assert os.environ["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"


@pytest.mark.parametrize(
    ("address", "one"), [("", True), ("127.0.0.1:6379", True), ("10.0.0.1:6379", False)]
)
def test_ray_stays_on_this_machine_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch, address: str, *, one: bool
) -> None:
    for name in environment.ONE_MACHINE:
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setenv(environment.ADDRESS_VARIABLE, address)
    environment.prepare()
    assert all((name in os.environ) is one for name in environment.ONE_MACHINE)


@pytest.mark.slow
def test_importing_the_engine_switches_telemetry_off_and_says_nothing() -> None:
    code = (
        "import os\n"
        "for name in list(os.environ):\n"
        "    if name.startswith(('FLWR_', 'RAY_')): del os.environ[name]\n"
        "import fedsim.engine\n"
        "import flwr.supercore.telemetry as telemetry\n"
        "print(telemetry.FLWR_TELEMETRY_ENABLED, os.environ['FLWR_DISABLE_UPDATE_CHECK'])\n"
        "print(os.environ['FLWR_HOME'] == os.path.expanduser('~/.flwr'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1", "False"]
    assert done.stderr == ""
