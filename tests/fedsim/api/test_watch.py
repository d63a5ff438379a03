"""Runs whose pictures are drawn as they go, and concluded later if they died."""

from pathlib import Path

import pytest

from fedsim.api.watch import run_and_conclude
from fedsim.engine import Observer, run
from fedsim.log.schema import LogRecord, RoundRecord
from fedsim.modalities.pictures import artefacts
from fedsim.scoring import Scorer
from fedsim.show.report.write import write_report
from tests.fedsim.small import TWENTY_EVALUATIONS, small

ATTACKED = (TWENTY_EVALUATIONS, "federation.batch_size=1")
DRAWN = {
    "round-0001.png", "round-0001.gif", "r0001-control-naive.png",
    *(f"r0001-c{client:04d}-naive.png" for client in range(3)),
}  # fmt: skip


class Watching(Observer):
    """Notes what is drawn when a round's attacks have ended."""

    def __init__(self) -> None:
        self.drawn: list[set[str]] = []

    def on_round_attacked(self, server_round: int) -> None:
        assert self.folder is not None
        self.drawn.append({path.name for path in (self.folder / "pictures").iterdir()})


@pytest.mark.slow
def test_each_round_is_drawn_as_it_ends(tmp_path: Path) -> None:
    watching = Watching()
    folder = run_and_conclude(small(*ATTACKED), tmp_path / "run", observer=watching)
    assert watching.drawn[0] == DRAWN
    assert len(watching.drawn[1]) == 2 * len(DRAWN)
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_what_an_engine_left_is_drawn_from_its_log(tmp_path: Path) -> None:
    """The same files as those of a run that was drawn on the way; those there stay."""
    case = small(*ATTACKED, "federation.rounds=1")
    watched = run_and_conclude(case, tmp_path / "watched") / "pictures"
    alone = run(case, tmp_path / "alone")
    (alone / "pictures").mkdir()
    (alone / "pictures" / "round-0001.gif").write_text("mine", "utf-8")
    write_report(alone)
    for name in DRAWN - {"round-0001.gif"}:
        assert (alone / "pictures" / name).read_bytes() == (watched / name).read_bytes()
    assert (alone / "pictures" / "round-0001.gif").read_text("utf-8") == "mine"


def test_a_run_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Scorer, outcome: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Scorer, "score", full)
    with pytest.raises(OSError, match="disk full"):
        run_and_conclude(small(*ATTACKED), tmp_path / "run")
    assert "disk full" in (tmp_path / "run" / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_a_drawing_that_fails_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr(artefacts, "_draw_grid", broken)
    folder = run_and_conclude(small(*ATTACKED), tmp_path / "run")
    assert "the pictures were not drawn: ValueError: no ink" in caplog.text
    assert (folder / "report.html").is_file()
    assert not (folder / "pictures" / "round-0001.png").exists()


class Dying(Observer):
    """Breaks a run off when it has recorded a round."""

    def on_record(self, record: LogRecord) -> None:
        if isinstance(record, RoundRecord) and record.round == 2:
            raise KeyboardInterrupt


def test_an_interrupted_run_is_concluded(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_and_conclude(small(*ATTACKED), tmp_path / "run", observer=Dying())
    assert "interrupted" in (tmp_path / "run" / "report.html").read_text("utf-8")
