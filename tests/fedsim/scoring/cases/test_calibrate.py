"""The thresholds of verdicts lie where they agree with judgements by eye."""

import pytest

from fedsim.log.schema import Verdict
from fedsim.scoring.metrics import regions, text_verdict, verdict
from tests.fedsim.scoring.cases.calibrate import (
    PICTURES,
    REGIONS,
    TEXTS,
    Row,
    count,
    picture,
    ranges,
    regional,
    texts,
)
from tests.fedsim.scoring.cases.judged import MAKE, ROWS, judged


@pytest.mark.slow
def test_thresholds_of_pictures() -> None:
    rows = [picture(case) for case in judged()]
    found = ranges(verdict, PICTURES, rows)
    assert (count(rows[::2]), count(rows[1::2])) == (40, 33)
    assert all(r.now >= r.best - 1 for r in found), found


@pytest.mark.slow
def test_thresholds_of_exact_regions() -> None:
    rows = [regional(case) for case in judged()[66:]]
    found = ranges(regions, REGIONS, rows)
    assert all(r.now >= r.best - 1 for r in found), found


@pytest.mark.slow
def test_thresholds_of_texts() -> None:
    rows = texts()
    found = ranges(text_verdict, TEXTS, rows)
    assert all(r.low <= r.value <= r.high for r in found), found
    assert {(r.best, r.other) for r in found} == {(54, 53)}


def test_each_row_has_a_change_and_a_judgement() -> None:
    assert len(ROWS) == 88
    assert {change for _, change, _ in ROWS} == set(MAKE)
    assert {word for *_, eye in ROWS for word in eye.split(" or ")} <= set(map(str, Verdict))


def test_a_range_is_that_of_the_best_agreement_and_the_threshold_keeps_its_value() -> None:
    def row(least: float, eye: str) -> Row:
        return Row("", (eye,), lambda: "partly" if least >= verdict.GAIN_DB else "nothing")

    rows = [row(least, eye) for least, eye in ((1, "nothing"), (2, "partly"), (3, "partly"))]
    [found] = ranges(verdict, {"GAIN_DB": [0, 1, 1.5, 2, 2.5, 3, 4]}, rows)
    assert (found.low, found.high, found.best, found.other) == (1.5, 3, 2, 0)
    assert verdict.GAIN_DB == found.value == 2
