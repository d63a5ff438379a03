"""The files that are drawn of a run."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedsim.core.errors import RunError
from fedsim.log.run import Run
from fedsim.log.schema import LogRecord
from fedsim.modalities.pictures.artefacts import PictureArtefacts
from fedsim.show.artefacts import Artefact, Ended, draw
from tests.fedsim.runs import leakage, reconstruction, started


def run_of(folder: Path, *records: LogRecord) -> Run:
    (folder / "tensors").mkdir(exist_ok=True)
    for record in records:
        if record.kind == "reconstruction" and record.tensors.startswith("tensors/"):
            original = np.zeros((1, 1, 8, 8), np.float32)
            save_file({"original": original}, folder / record.tensors)
    return Run(folder, [started(), *records], "")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return, for each round, the labels of what is drawn together."""
    seen: list[list[str]] = []

    def of_round(
        self: PictureArtefacts, server_round: int, ended: Sequence[Ended]
    ) -> Iterator[Artefact]:
        seen.append([e.label for e in ended])
        yield Artefact("round.txt", lambda path: path.write_text(str(server_round), "utf-8"))

    monkeypatch.setattr(PictureArtefacts, "of_round", of_round)
    return seen


def test_attacks_are_in_the_order_of_the_clients(tmp_path: Path, shown: list[list[str]]) -> None:
    records = [
        reconstruction("control", group=None, partition=None), leakage("control", None),
        reconstruction("adapted", attacker="adaptive"), leakage("adapted", "plain"),
        reconstruction("naive"), leakage("naive", "plain"),
    ]  # fmt: skip
    draw(run_of(tmp_path, *records))
    assert shown == [["noisy", "noisy (adaptive)", "positive control"]]


def test_what_is_there_stays_unless_it_is_drawn_anew(
    tmp_path: Path, shown: list[list[str]]
) -> None:
    run, path = run_of(tmp_path, reconstruction("v"), leakage("v", "a")), "pictures/round.txt"
    draw(run)
    assert (tmp_path / path).read_text("utf-8") == "1"
    (tmp_path / path).write_text("mine", "utf-8")
    draw(run)
    assert (tmp_path / path).read_text("utf-8") == "mine"
    draw(run, anew=True)
    assert (tmp_path / path).read_text("utf-8") == "1"


def test_an_attack_without_its_tensors_is_left_out(tmp_path: Path, shown: list[list[str]]) -> None:
    run = run_of(tmp_path, reconstruction("v"), leakage("v", "a"))
    (tmp_path / "tensors" / "v.safetensors").unlink()
    draw(run)
    assert shown == [[]]


def test_a_log_cannot_name_a_file_outside_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_victim(self: PictureArtefacts, ended: Ended) -> Iterator[Artefact]:
        yield Artefact(f"{ended.name(0)}.png", lambda path: path.write_text("x", "utf-8"))

    monkeypatch.setattr(PictureArtefacts, "of_victim", of_victim)
    hostile = reconstruction("../../x", tensors="tensors/v.safetensors")
    with pytest.raises(RunError, match="not a valid file name"):
        draw(run_of(tmp_path, hostile, leakage("../../x", "a")))
    outside = reconstruction("v", tensors="../v.safetensors")
    with pytest.raises(RunError, match="inside this run folder"):
        draw(run_of(tmp_path, outside, leakage("v", "a")))
