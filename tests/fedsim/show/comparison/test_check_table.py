"""Attacks against checks: who noticed what, and the false alarms."""

import csv
import io
from dataclasses import replace

from fedsim.log.check_counts import CheckCount, check_counts
from fedsim.show.comparison.attack_matrix import matrix_markdown
from fedsim.show.comparison.check_table import check_csv, check_rows
from tests.fedsim.runs import upload
from tests.fedsim.show.comparison.test_attack_matrix import FAILED, LEAKED

CHECKS = [{"name": "weight-statistics", "action": "warn"}, {"name": "dead-units", "action": "warn"}]
QUIET = CheckCount(checked=8)


def test_each_check_is_counted_for_changed_and_honest_models() -> None:
    refused = {"problem": "refused by dead-units: ...", "refused": True}
    found = check_counts(
        [
            upload(0, "a", defenses=CHECKS, noticed=("weight-statistics",)),
            upload(1, "a", defenses=CHECKS, noticed=("dead-units",), **refused),
            upload(2, "a", defenses=CHECKS, noticed=("weight-statistics",)),
            upload(3, "a", defenses=CHECKS, problem="timed out"),
            upload(4, "a"),
        ],
        {(1, 0), (1, 1), (1, 3)},
    )
    assert found == {
        "weight-statistics": CheckCount(examined=1, noticed=1, checked=1, alarms=1),
        "dead-units": CheckCount(examined=2, noticed=1, refused=1, checked=1),
    }


def test_a_check_before_a_refusal_counts_if_it_would_have_refused() -> None:
    chain = [{"name": "gaussian-noise", "std": 0.1}]
    chain += [{"name": f"check {a}", "action": a} for a in ("warn", "refuse")] + CHECKS
    found = check_counts(
        [upload(0, "a", defenses=chain, noticed=("dead-units",), refused=True)], {(1, 0)}
    )
    assert found == {
        "check refuse": CheckCount(examined=1),
        "dead-units": CheckCount(examined=1, noticed=1, refused=1),
    }


def test_a_row_for_each_attack_and_one_for_false_alarms() -> None:
    pairs = [
        replace(LEAKED, attack="curious", checks={"weight-statistics": CheckCount(checked=4)}),
        replace(
            LEAKED,
            checks={
                "weight-statistics": QUIET + CheckCount(examined=4, noticed=4),
                "dead-units": QUIET + CheckCount(examined=4),
            },
        ),
        replace(
            FAILED,
            checks={"weight-statistics": CheckCount(4, 4, checked=1, alarms=1)},
        ),
        replace(
            LEAKED,
            attack="fishing",
            checks={"dead-units": CheckCount(4, 4, 4, checked=2, leaks=2)},
        ),
        replace(LEAKED, attack="two models", checks={"dead-units": CheckCount(4, 1)}),
    ]
    heads, rows = check_rows(pairs)
    assert heads == ["attack", "weight-statistics", "dead-units"]
    assert rows == [
        ["imprint", "noticed", "not"],
        ["fishing", "–", "refused"],
        ["two models", "–", "noticed 1 of 4"],
        ["false alarms", "1 of 13", "0 of 10, 2 true leaks"],
    ]
    assert "| false alarms | 1 of 9 " in matrix_markdown(pairs[1:3])
    lines = list(csv.DictReader(io.StringIO(check_csv(pairs))))
    assert lines[1] == {
        "attack": "imprint",
        "check": "weight-statistics",
        "examined": "8",
        "noticed": "8",
        "refused": "0",
        "checked": "9",
        "false_alarms": "1",
        "true_leaks": "0",
    }


def test_without_checks_there_is_no_table() -> None:
    assert check_rows([LEAKED, FAILED]) == ([], [])
