"""What an audit should have attacked and did not, and the threshold then."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedsim.cli.threshold import LEAKS, NO_EVIDENCE, exit_code
from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, LogRecord, ReconstructionRecord
from fedsim.show.gaps import gaps
from tests.fedsim.runs import changed, upload
from tests.fedsim.show.report.logs import Group, Log


def run_of(folder: Path, *meanings: str, rounds: tuple[int, ...] = (1,), **plan: Any) -> Run:
    """Return a finished audit of clients with these meanings."""
    attack = {"attack": {"name": "dlg"}, "rounds": list(rounds), **plan}
    log = Log([Group("clients", meanings)], scenario={"adversary": attack})
    return Run.read(log.write(folder / "run"))


def without(run: Run, kind: type[LogRecord], partition: int) -> Run:
    kept = [
        r
        for r in run.records
        if not (isinstance(r, kind) and getattr(r, "partition", None) == partition)
    ]
    return replace(run, records=kept)


def test_an_audit_without_gaps_passes(tmp_path: Path) -> None:
    run = run_of(tmp_path, "protected", "protected")
    assert gaps(run) == []
    assert exit_code(run, 0.0) == 0


@pytest.mark.parametrize("kind", [ReconstructionRecord, LeakageRecord])
def test_a_client_that_was_not_attacked_or_compared_could_leak(
    kind: type[LogRecord], tmp_path: Path
) -> None:
    run = without(run_of(tmp_path, "protected", "protected"), kind, 1)
    [gap] = gaps(run)
    assert gap in {"round 1: 1 of 2 uploads were attacked", "r0001-c0001-naive: not compared"}
    assert [exit_code(run, share) for share in (0.0, 0.9, 1.0)] == [NO_EVIDENCE, NO_EVIDENCE, 0]


def test_one_client_can_be_all_that_was_asked_for(tmp_path: Path) -> None:
    run = without(run_of(tmp_path, "protected", "protected", per_round=1), ReconstructionRecord, 1)
    run = without(run, LeakageRecord, 1)
    assert gaps(run) == []


def test_an_upload_that_cannot_be_read_could_leak(tmp_path: Path) -> None:
    run = run_of(tmp_path, "protected")
    bad = upload(1, "clients", round=1, problem="it has a value that is not finite")
    run = replace(run, records=[*run.records, bad])
    assert gaps(run) == ["round 1, client 1: it has a value that is not finite"]
    assert exit_code(run, 0.0) == NO_EVIDENCE
    other = replace(run, records=[changed(r, {"round": 2}) if r is bad else r for r in run.records])
    assert exit_code(other, 0.0) == 0, "nothing of round 2 was asked for"


def test_a_round_that_never_came_could_leak(tmp_path: Path) -> None:
    run = run_of(tmp_path, "protected", rounds=(1, 5))
    assert gaps(run) == ["round 5: 0 of 1 uploads were attacked"]
    assert exit_code(run, 0.5) == NO_EVIDENCE


def test_a_leak_counts_more_than_a_gap(tmp_path: Path) -> None:
    run = run_of(tmp_path, "leaked", rounds=(1, 5))
    assert exit_code(run, 0.5) == LEAKS
    assert exit_code(run, None) == 0
