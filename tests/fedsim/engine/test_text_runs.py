"""A run about texts, from scenario to folder and screen."""

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch
from rich.console import Console

from fedsim.api.live import LiveView
from fedsim.api.watch import run_and_conclude
from fedsim.attacks import Progress
from fedsim.engine.observer import Observer, Reader
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import (
    EmergenceRecord,
    LeakageRecord,
    LogRecord,
    Meaning,
    RunEnded,
)
from fedsim.scenario import Scenario
from fedsim.server.victims import Victim
from tests.fedsim.text_runs import TEXTS, texts

MEASURES = {
    "token_accuracy", "rouge1", "rouge2", "rouge_l", "bag_recall", "bag_precision", "exact",
    "edit_distance", "unknown_tokens",
}  # fmt: skip


class Watching(Observer):
    """Draws the live view at each progress, as a terminal would."""

    def __init__(self) -> None:
        self.view = LiveView(Console(file=io.StringIO(), force_terminal=True, width=100, height=40))
        self.screens: list[str] = []

    def on_start(self, scenario: Scenario, folder: Path) -> None:
        self.view.on_start(scenario, folder)

    def on_reader(self, reader: Reader) -> None:
        self.view.on_reader(reader)

    def on_record(self, record: LogRecord) -> None:
        self.view.on_record(record)

    def on_victims(self, victims: list[Victim]) -> None:  # type: ignore[override]
        self.view.on_victims(victims)

    def on_progress(self, victims: list[Victim], progress: Progress) -> None:  # type: ignore[override]
        self.view._looked = 0.0
        self.view.on_progress(victims, progress)
        page = Console(file=io.StringIO(), width=100, height=60, color_system=None)
        page.print(self.view._render())
        self.screens.append(page.file.getvalue())  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watching]:
    torch.set_num_threads(1)
    watching = Watching()
    folder = tmp_path_factory.mktemp("texts") / "run"
    run_and_conclude(texts(), folder, observer=watching)
    return folder, watching


def test_the_log_has_token_measures(watched: tuple[Path, Watching]) -> None:
    records = of_kind(read_records(watched[0]), LeakageRecord)
    assert len(records) == 2 * 3  # two clients and the control, of two texts each
    assert all(record.score.metrics.keys() == MEASURES for record in records)
    assert of_kind(read_records(watched[0]), RunEnded)[0].status == "finished"


def test_what_was_private_leaked(watched: tuple[Path, Watching]) -> None:
    records = of_kind(read_records(watched[0]), LeakageRecord)
    scores = [r.score for r in records if r.group == "plain"]
    private = sorted(" ".join(s.original or ()).replace(" ##", "") for s in scores)
    assert private == sorted(TEXTS)
    assert {s.meaning for s in scores} == {Meaning.LEAKED}
    assert all(s.metrics["exact"] == 1 and s.found == s.original for s in scores)


def test_how_each_text_emerged(watched: tuple[Path, Watching]) -> None:
    records = list(read_records(watched[0]))
    leakage = {(r.victim, r.score.example): r.score for r in of_kind(records, LeakageRecord)}
    emerged = {(r.victim, r.example): r.moments for r in of_kind(records, EmergenceRecord)}
    assert emerged.keys() == leakage.keys()
    for key, moments in emerged.items():
        evaluation, tokens = moments[-1]
        assert evaluation == 1
        assert tokens == leakage[key].found


def test_each_victim_has_its_sentences(watched: tuple[Path, Watching]) -> None:
    folder = watched[0] / "pictures"
    for record in of_kind(read_records(watched[0]), LeakageRecord):
        name = f"{record.victim}-{record.score.example}"
        private = " ".join(record.score.original or ()).replace(" ##", "")
        text = (folder / f"{name}.txt").read_text("utf-8")
        assert text.splitlines()[-1].split() == ["private", *private.split()]
        ET.parse(folder / f"{name}.svg")  # noqa: S314  (our own file)


def test_the_live_view_shows_texts(watched: tuple[Path, Watching]) -> None:
    page = watched[1].screens[-1]
    assert "Texts" in page
    assert any(text in page for text in TEXTS)
    assert "fit" in page
