"""Rows from records that were written by hand."""

import subprocess
import sys
from typing import Any

import pytest

from fedsim import scoring
from fedsim.core.measures import PSNR
from fedsim.log.files import Record
from fedsim.log.summary import (
    ATTACK_FAILED,
    CONTROL,
    LEAKED,
    NO_DEFENSE,
    PARTLY,
    PROTECTED,
    UNSCORED,
    Row,
    summarise,
)

NOISE = {"name": "gaussian-noise", "std": 1e-3}
PRUNING = {"name": "pruning", "fraction": 0.7}
BASELINES = {"grey": [12.0, 0.1], "mean": [14.0, 0.2], "nearest": [17.0, 0.5]}


def upload(group: str, **values: Any) -> Record:
    record = {
        "kind": "upload",
        "round": 1,
        "partition": 0,
        "group": group,
        "bytes": 100,
        "defenses": [],
        "problem": None,
    }
    return record | values


def leakage(group: str | None, psnr: float | None, meaning: str, **values: Any) -> Record:
    record = {
        "kind": "leakage",
        "group": group,
        "attacker": "naive",
        "psnr": psnr,
        "label": 3,
        "label_found": 3 if psnr is not None else None,
        "baselines": BASELINES,
        "meaning": meaning,
    }
    return record | values


def reconstruction(victim: str, **values: Any) -> Record:
    return {
        "kind": "reconstruction",
        "victim": victim,
        "error": None,
        "approximate": False,
    } | values


def rows(*records: Record) -> list[Row]:
    return summarise(records).rows


def test_a_run_that_has_just_begun() -> None:
    summary = summarise([{"kind": "run", "format": 1}])
    assert (summary.rows, summary.accuracy, summary.problems, summary.failures) == ([], {}, [], [])
    assert (summary.status, summary.error, summary.seconds) == (None, None, None)
    assert summary.control is None
    assert not summary.control_failed
    assert not summary.approximate


def test_one_row_in_closed_form() -> None:
    [row] = rows(
        upload("noisy", bytes=100, defenses=[NOISE]),
        upload("noisy", bytes=300, partition=1, defenses=[NOISE]),
        upload("noisy", bytes=None, partition=2, defenses=[NOISE], problem="NaN"),
        leakage("noisy", 31.0, LEAKED),
        leakage("noisy", 15.5, PARTLY, label_found=4),
        leakage("noisy", 9.0, PROTECTED),
        leakage("noisy", 8.0, ATTACK_FAILED, label_found=5),
        leakage("noisy", None, UNSCORED),
    )
    assert row == Row(
        group="noisy",
        defense="gaussian-noise std=0.001",
        attacker="naive",
        images=5,
        meanings={LEAKED: 1, PARTLY: 1, PROTECTED: 1, ATTACK_FAILED: 1, UNSCORED: 1},
        measure=PSNR,
        scores=[31.0, 15.5, 9.0, 8.0],
        baseline=[14.0] * 4,
        labels_right=0.5,
        upload_bytes=200.0,
    )
    assert row.count(LEAKED) == 1
    assert row.count("no such meaning") == 0


def test_the_baseline_is_the_better_blind_guess_and_never_the_nearest() -> None:
    grey_wins = {"grey": [20.0, 0], "mean": [14.0, 0], "nearest": [40.0, 0]}
    only_grey = {"grey": [11.0, 0]}
    [row] = rows(
        upload("a"),
        leakage("a", 9.0, PROTECTED, baselines=grey_wins),
        leakage("a", 9.0, PROTECTED, baselines=only_grey),
    )
    assert row.baseline == [20.0, 11.0]


def test_what_could_not_be_scored_is_neither_zero_nor_dropped() -> None:
    [row] = rows(upload("a", bytes=None), leakage("a", None, UNSCORED))
    assert (row.images, row.count(UNSCORED)) == (1, 1)
    assert (row.scores, row.baseline) == ([], [])
    assert row.labels_right is None
    assert row.upload_bytes is None


def test_labels_that_an_attack_does_not_assign_are_not_wrong() -> None:
    [row] = rows(upload("a"), leakage("a", 30.0, LEAKED, label_found=None))
    assert row.labels_right is None


def test_rows_are_in_the_order_of_the_groups_with_the_control_last() -> None:
    found = rows(
        upload("b"),
        upload("a", partition=1),
        leakage(None, 30.0, LEAKED),
        leakage("a", 30.0, LEAKED, attacker="adaptive"),
        leakage("a", 30.0, LEAKED),
        leakage("b", 30.0, LEAKED),
    )
    assert [(r.group, r.attacker) for r in found] == [
        ("b", "naive"),
        ("a", "naive"),
        ("a", "adaptive"),
        (CONTROL, "naive"),
    ]


def test_defenses_in_words() -> None:
    chain = [PRUNING, {"name": "fp16"}, NOISE]
    found = rows(
        upload("a", defenses=chain),
        upload("b"),
        leakage("a", 9.0, PROTECTED),
        leakage("b", 9.0, PROTECTED),
        leakage(None, 9.0, PROTECTED),
    )
    assert [r.defense for r in found] == [
        "pruning fraction=0.7, fp16, gaussian-noise std=0.001",
        NO_DEFENSE,
        NO_DEFENSE,
    ]


@pytest.mark.parametrize(
    ("meanings", "failed"),
    [
        ([LEAKED, LEAKED], False),
        ([LEAKED, PARTLY], True),
        ([LEAKED, PROTECTED], True),
        ([ATTACK_FAILED], True),
        ([UNSCORED], True),
    ],
)
def test_a_control_that_was_not_rebuilt_counts_as_failed(meanings: list[str], failed: bool) -> None:
    records = [leakage(None, None if m == UNSCORED else 30.0, m) for m in meanings]
    summary = summarise([upload("a"), leakage("a", 9.0, PROTECTED), *records])
    assert summary.control is not None
    assert summary.control.images == len(meanings)
    assert summary.control_failed is failed


def test_problems_failures_accuracy_and_end() -> None:
    summary = summarise(
        [
            {"kind": "round", "round": 0, "accuracy": 0.1},
            upload("a", round=1, partition=4, problem="the tensor 'w' is missing"),
            upload("a", round=2, partition=5),
            reconstruction("r0001-c0004-naive", error="the tensor 'w' is missing"),
            reconstruction("r0002-c0005-naive"),
            {"kind": "round", "round": 1, "accuracy": 0.2},
            {"kind": "end", "status": "failed", "error": "RunError: no", "seconds": 1.5},
        ]
    )
    assert summary.problems == [(1, 4, "the tensor 'w' is missing")]
    assert summary.failures == [("r0001-c0004-naive", "the tensor 'w' is missing")]
    assert summary.accuracy == {0: 0.1, 1: 0.2}
    assert (summary.status, summary.error, summary.seconds) == ("failed", "RunError: no", 1.5)


def test_several_steps_taken_for_one_are_told() -> None:
    exact = reconstruction("r0001-control-naive")
    assert not summarise([exact]).approximate
    assert summarise([exact, reconstruction("r0001-c0000-naive", approximate=True)]).approximate


def test_kinds_that_are_not_known_are_passed_over() -> None:
    assert summarise([{"kind": "of magic", "power": 9}]).rows == []


def test_words_are_those_of_the_scorer() -> None:
    words = {LEAKED, PARTLY, PROTECTED, ATTACK_FAILED, UNSCORED}
    assert words == {m.value for m in scoring.Meaning}


def test_a_summary_loads_neither_torch_nor_flower() -> None:
    code = (
        "import sys, fedsim.log.summary; print([m for m in ('torch', 'flwr') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
