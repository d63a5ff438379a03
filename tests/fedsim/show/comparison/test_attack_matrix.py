"""Attacks against defenses: what a cell says, what follows from it, and how wide it is."""

import csv
import io
from dataclasses import replace

from rich.console import Console

from fedsim.log.attack_matrix import Pairing
from fedsim.log.schema import Meaning
from fedsim.modalities.pictures.measure import PSNR
from fedsim.show.comparison.attack_matrix import (
    AttackMatrix,
    matrix_csv,
    matrix_markdown,
    terminal_matrix,
)
from fedsim.show.comparison.matrix_advice import matrix_advice

ATTACKS = ("curious", "imprint", "trap weights", "fishing", "imprint parts", "two models", "alone")
DEFENSES = ("none", "DP-SGD", "weight-statistics", "single-example-dominance")

LEAKED = Pairing(
    "imprint",
    "none",
    recovered=13,
    asked=16,
    meanings={Meaning.LEAKED: 13, Meaning.ATTACK_FAILED: 3},
    measure=PSNR,
    expected=0.88,
    changed=(0.11, 0.25),
    accuracy=0.4,
    receivers=4,
)
FAILED = replace(
    LEAKED, defense="DP-SGD", recovered=0, meanings={Meaning.ATTACK_FAILED: 16}, epsilon=7.9
)
REFUSED = replace(
    LEAKED,
    defense="weight-statistics",
    recovered=0,
    asked=0,
    meanings={},
    refused=4,
    noticed={"weight-statistics": 4},
    checked=28,
    alarms=1,
)
UNSUITED = Pairing("imprint", "single-example-dominance", problem="needs pictures")


def found() -> list[Pairing]:
    return [
        replace(each, attack=attack)
        for attack in ATTACKS
        for each in (LEAKED, FAILED, REFUSED, UNSUITED)
    ]


def said(width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    for table in terminal_matrix(found()):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_cell_says_how_much_was_recovered_and_the_worst_verdict() -> None:
    matrix = AttackMatrix.of([LEAKED, FAILED, REFUSED, UNSUITED])
    lines = [matrix.cell(m).lines for m in matrix.column("imprint")]
    assert lines == [("13/16", "leaked"), ("0/16", "failed"), ("refused",), ("– [1]",)]


def test_some_who_refuse_are_counted_beside_what_the_others_gave() -> None:
    matrix = AttackMatrix.of([replace(LEAKED, refused=2)])
    assert matrix.cell(matrix.row("none")[0]).lines == ("13/16", "leaked", "2 refused")


def test_the_tables_are_readable_at_80_columns() -> None:
    text = said()
    assert max(map(len, text.splitlines())) <= 80
    first = text.splitlines()
    for word in ("leaked", "failed", "refused"):
        assert sum(line.count(word) for line in first) >= len(ATTACKS)
    assert "[1] needs pictures" in text
    assert "11% not 25%" in " ".join(text.split())
    assert "1 of 28" not in text
    assert "7 of 196" in text


def test_the_advice_never_calls_a_failed_attack_protection() -> None:
    text = " ".join(matrix_advice([LEAKED, FAILED, REFUSED, UNSUITED], 1))
    assert text.startswith("Without a defense the server recovers up to 81% of the pictures that")
    assert "by defense. none: all;" in text
    assert "DP-SGD: none (ε ≤ 7.9 bounds any other)" in text
    assert "weight-statistics: none, every attack was refused" in text
    assert "Noticed: imprint by weight-statistics." in text
    assert "False alarms: 1 in 28 checks of honest models (weight-statistics 1)." in text
    without = " ".join(matrix_advice([LEAKED, replace(FAILED, epsilon=None)], 1))
    assert "but they failed, which is not protection" in without
    assert "Nobody noticed anything." in without


def test_attacks_without_a_check_that_notices_them_are_named() -> None:
    others = [replace(LEAKED, attack="fishing"), replace(REFUSED, attack="fishing", noticed={})]
    text = " ".join(matrix_advice([LEAKED, REFUSED, *others], 1))
    assert "Noticed by none of the checks: fishing." in text


def test_all_figures_are_in_the_csv_and_the_reasons_below_the_markdown() -> None:
    rows = list(csv.DictReader(io.StringIO(matrix_csv(found()))))
    assert len(rows) == len(ATTACKS) * len(DEFENSES)
    assert rows[0]["recovered"] == "13"
    assert rows[0]["leaked"] == "13"
    assert rows[2]["noticed_by"] == "weight-statistics"
    assert matrix_markdown(found()).endswith("[1] needs pictures")
