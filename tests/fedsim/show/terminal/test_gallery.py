"""The pictures at the end of a run."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from fedsim.core.errors import RunError
from fedsim.log.run import Run
from fedsim.log.schema import LogRecord
from fedsim.show.terminal.gallery import gallery
from tests.fedsim.runs import leakage, reconstruction, started


def save(folder: Path, victim: str, **extra: np.ndarray) -> None:
    (folder / "tensors").mkdir(exist_ok=True)
    original = np.zeros((2, 1, 8, 8), np.float32)
    save_file({"original": original, **extra}, folder / "tensors" / f"{victim}.safetensors")


def shown(folder: Path, records: list[LogRecord]) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(gallery(Run(folder, [started(), *records], "")))
    return console.export_text()


def test_pairs_of_the_last_round_for_each_group_and_attacker(tmp_path: Path) -> None:
    found = {
        "reconstruction": np.ones((2, 1, 8, 8), np.float32),
        "matching": np.array([1, 0], np.int64),
    }
    save(tmp_path, "one", **found)
    save(tmp_path, "two", **found)
    save(tmp_path, "adapted", **found)
    records = [
        *(reconstruction(v) for v in ("one", "two", "adapted")),
        leakage("two", "a", round=2, psnr=22.0),
        leakage("one", "a", round=1, psnr=11.0),
        leakage("adapted", "a", attacker="adaptive", psnr=33.0),
        leakage("adapted", "a", attacker="adaptive", psnr=44.0, example=1),
    ]
    text = shown(tmp_path, records)
    assert text.count("private") == 2
    assert "22 dB" in text
    assert "33 dB" in text
    assert "11 dB" not in text
    assert "44 dB" not in text


def test_an_attack_without_a_result_is_shown_as_failed(tmp_path: Path) -> None:
    save(tmp_path, "lost")
    records = [reconstruction("lost"), leakage("lost", "a", psnr=None, meaning="unscored")]
    assert "attack failed" in " ".join(shown(tmp_path, records).split())


def test_a_record_cannot_point_outside_the_run_folder(tmp_path: Path) -> None:
    save(tmp_path, "secret")
    run = tmp_path / "run"
    run.mkdir()
    records = [reconstruction("v", tensors="../tensors/secret.safetensors"), leakage("v", "a")]
    with pytest.raises(RunError, match="inside this run folder"):
        gallery(Run(run, [started(), *records], ""))


def test_nothing_attacked_is_nothing_shown(tmp_path: Path) -> None:
    assert gallery(Run(tmp_path, [started()], "")) is None
