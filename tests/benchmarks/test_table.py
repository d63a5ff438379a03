from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.benchmarks.table import Measured, write_table


def test_a_row() -> None:
    row = Measured.of(
        "x", [31.0, 29.0, 50.0], [9.0, 3.0, 6.0], device="cpu", threads=2, loop_per_recovered=30.0
    )
    assert (row.victims, row.recovered, row.median_psnr_db) == (3, 2, 31.0)
    assert row.share == pytest.approx(2 / 3)
    assert (row.seconds, row.per_recovered, row.against_loop) == (6.0, 3.0, 10.0)
    assert row.recovered_per_second == pytest.approx(1 / 3)


def test_nothing_recovered_is_no_speed() -> None:
    row = Measured.of("x", [9.0], [1.0], device="cpu", threads=1, loop_per_recovered=3.0)
    assert row.per_recovered == float("inf")
    assert row.recovered_per_second == row.share == row.against_loop == 0


def test_written(tmp_path: Path) -> None:
    @dataclass
    class Row:
        name: str
        size: float

    text = write_table("t", [Row("a", 1.23456), Row("b", 2.0)], tmp_path / "new")
    assert text.splitlines() == ["| name | size |", "|---|---|", "| a | 1.23 |", "| b | 2 |"]
    assert (tmp_path / "new/t.md").read_text() == text
    assert (tmp_path / "new/t.csv").read_text().splitlines() == ["name,size", "a,1.23456", "b,2.0"]


@pytest.mark.parametrize("scores", [[30.0], [30.1]])
def test_thirty_is_recovered(scores: list[float]) -> None:
    row = Measured.of("x", scores, [1.0], device="cpu", threads=1, loop_per_recovered=1.0)
    assert row.recovered == 1
