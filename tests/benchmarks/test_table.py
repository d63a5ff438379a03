from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.benchmarks.table import Measured, write_table


def test_a_row() -> None:
    row = Measured.of(
        "x", [31.0, 29.0, 28.0], 2, [6.0, 2.0, 4.0], [9.0, 3.0, 6.0], device="cpu", threads=2,
        loop=(20.0, 60.0),
    )  # fmt: skip
    assert (row.victims, row.median_psnr_db) == (3, 29.0)
    assert (row.recovered_until_30_db, row.recovered_as_shipped) == (2, 1)
    assert (row.until_30_db_s, row.as_shipped_s, row.after_30_db_s) == (4.0, 6.0, 2.0)
    assert row.until_30_db_s_per_recovered == 2.0
    assert (row.against_loop_until_30_db, row.against_loop_as_shipped) == (10.0, 10.0)
    assert row.per_recovered == (2.0, 6.0)


def test_nothing_recovered_is_no_speed() -> None:
    row = Measured.of("x", [9.0], 0, [1.0], [2.0], device="cpu", threads=1, loop=(3.0, 3.0))
    assert row.until_30_db_s_per_recovered == float("inf")
    assert row.against_loop_until_30_db == row.against_loop_as_shipped == 0
    assert row.per_recovered == (1.0, 2.0)


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
    row = Measured.of("x", scores, 1, [1.0], [1.0], device="cpu", threads=1)
    assert row.recovered_as_shipped == 1
