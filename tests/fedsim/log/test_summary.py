"""Rows from records that were written by hand."""

from typing import Any

import pytest

from fedsim.core.errors import RunError
from fedsim.log.schema import CONTROL, NO_DEFENSE, Component, LogRecord, Meaning, PrivacySpent
from fedsim.log.summary import Row, Summary, labels_told, summarise
from fedsim.modalities.pictures.measure import PSNR
from fedsim.modalities.texts.measure import TOKENS
from tests.fedsim.runs import (
    accuracy,
    ended,
    leakage,
    reconstruction,
    started,
    upload,
)

LEAKED, PARTLY, PROTECTED = Meaning.LEAKED, Meaning.PARTLY, Meaning.PROTECTED
ATTACK_FAILED, UNSCORED = Meaning.ATTACK_FAILED, Meaning.UNSCORED
NOISE = {"name": "gaussian-noise", "std": 1e-3}
PRUNING = {"name": "pruning", "fraction": 0.7}


def summary_of(*records: LogRecord) -> Summary:
    return summarise([started(), *records])


def rows(*records: LogRecord) -> list[Row]:
    return summary_of(*records).rows


def score(group: str | None, psnr: float | None, meaning: Meaning, **changes: Any) -> LogRecord:
    return leakage("v", group, psnr=psnr, meaning=meaning, **changes)


def test_a_run_that_has_just_begun() -> None:
    summary = summary_of()
    assert (summary.rows, summary.accuracy, summary.problems, summary.failures) == ([], {}, [], [])
    assert (summary.status, summary.error, summary.seconds) == (None, None, None)
    assert summary.control is None
    assert not summary.control_failed
    assert not summary.approximate


def test_one_row_in_closed_form() -> None:
    [row] = rows(
        upload(0, "noisy", bytes=100, defenses=[NOISE]),
        upload(1, "noisy", bytes=300, defenses=[NOISE]),
        upload(2, "noisy", bytes=None, defenses=[NOISE], problem="NaN"),
        score("noisy", 31.0, LEAKED),
        score("noisy", 15.5, PARTLY, label_found=4),
        score("noisy", 9.0, PROTECTED),
        score("noisy", 8.0, ATTACK_FAILED, label_found=5),
        score("noisy", None, UNSCORED),
    )
    assert row == Row(
        group="noisy",
        defense="gaussian-noise std=0.001",
        attacker="naive",
        examples=5,
        meanings={LEAKED: 1, PARTLY: 1, PROTECTED: 1, ATTACK_FAILED: 1, UNSCORED: 1},
        measure=PSNR,
        scores=[31.0, 15.5, 9.0, 8.0],
        baseline=[11.0] * 4,
        labels=(2, 4),
        upload_bytes=200.0,
        defended=True,
    )
    assert row.count(LEAKED) == 1
    assert row.count("no such meaning") == 0


def test_the_baseline_is_the_better_blind_guess_and_never_the_nearest() -> None:
    grey_wins = {"grey": {"psnr": 20.0}, "mean": {"psnr": 14.0}, "nearest": {"psnr": 40.0}}
    only_grey = {"grey": {"psnr": 11.0}}
    [row] = rows(
        upload(0, "a"),
        score("a", 9.0, PROTECTED, baselines=grey_wins),
        score("a", 9.0, PROTECTED, baselines=only_grey),
    )
    assert row.baseline == [20.0, 11.0]


def test_what_could_not_be_scored_is_neither_zero_nor_dropped() -> None:
    [row] = rows(upload(0, "a", bytes=None), score("a", None, UNSCORED))
    assert (row.examples, row.count(UNSCORED)) == (1, 1)
    assert (row.scores, row.baseline) == ([], [])
    assert row.labels_right is None
    assert row.upload_bytes is None


def test_labels_that_an_attack_does_not_assign_are_not_wrong() -> None:
    [row] = rows(upload(0, "a"), score("a", 30.0, LEAKED, label_found=None))
    assert row.labels_right is None


def test_rows_are_in_the_order_of_the_groups_with_the_control_last() -> None:
    found = rows(
        upload(0, "b"),
        upload(1, "a"),
        score(None, 30.0, LEAKED),
        score("a", 30.0, LEAKED, attacker="adaptive"),
        score("a", 30.0, LEAKED),
        score("b", 30.0, LEAKED),
    )
    assert [(r.group, r.attacker) for r in found] == [
        ("b", "naive"),
        ("a", "naive"),
        ("a", "adaptive"),
        (CONTROL, "naive"),
    ]


def test_a_strength_in_other_units_stands_in_brackets() -> None:
    noise = Component(name="gaussian-noise", parameters={"std": 0.01}, units={"variance": 1e-4})
    sent = upload(0, "a").model_copy(update={"defenses": (noise, Component(name="fp16"))})
    [row] = rows(sent, score("a", 9.0, PROTECTED))
    assert row.defense == "gaussian-noise std=0.01 (variance 0.0001), fp16"


def test_defenses_in_words() -> None:
    chain = [PRUNING, {"name": "fp16"}, NOISE]
    found = rows(
        upload(0, "a", defenses=chain),
        upload(0, "b"),
        score("a", 9.0, PROTECTED),
        score("b", 9.0, PROTECTED),
        score(None, 9.0, PROTECTED),
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
def test_a_control_that_was_not_rebuilt_counts_as_failed(
    meanings: list[Meaning], failed: bool
) -> None:
    records = [score(None, None if m == UNSCORED else 30.0, m) for m in meanings]
    summary = summary_of(upload(0, "a"), score("a", 9.0, PROTECTED), *records)
    assert summary.control is not None
    assert summary.control.examples == len(meanings)
    assert summary.control_failed is failed


def test_problems_failures_accuracy_and_end() -> None:
    summary = summary_of(
        accuracy(0, 0.1),
        upload(4, "a", round=1, problem="the tensor 'w' is missing"),
        upload(5, "a", round=2),
        reconstruction("r0001-c0004-naive", error="the tensor 'w' is missing"),
        reconstruction("r0002-c0005-naive"),
        accuracy(1, 0.2),
        ended(status="failed", error="RunError: no", seconds=1.5),
    )
    assert summary.problems == [(1, 4, "the tensor 'w' is missing")]
    assert summary.failures == [("r0001-c0004-naive", "the tensor 'w' is missing")]
    assert summary.accuracy == {0: 0.1, 1: 0.2}
    assert (summary.status, summary.error, summary.seconds) == ("failed", "RunError: no", 1.5)


def test_several_steps_taken_for_one_are_told() -> None:
    exact = reconstruction("r0001-control-naive")
    assert not summary_of(exact).approximate
    assert summary_of(exact, reconstruction("r0001-c0000-naive", approximate=True)).approximate


@pytest.mark.parametrize(
    ("epsilons", "most"), [([2.0, 3.0], 3.0), ([2.0, None], None), ([None], None)]
)
def test_the_most_that_a_client_has_spent(epsilons: list[float | None], most: float | None) -> None:
    spent = [e and PrivacySpent(epsilon=e, delta=1e-5, unit="client") for e in epsilons]
    uploads = [upload(i, "a", privacy=each) for i, each in enumerate(spent)]
    [row] = rows(*uploads, score("a", 9.0, PROTECTED))
    assert row.epsilon == most


def test_a_withheld_guarantee_is_told_with_its_reason() -> None:
    spent = PrivacySpent(epsilon=2.0, delta=1e-5, unit="client")
    withheld = PrivacySpent(epsilon=None, delta=1e-5, unit="client", withheld="a reason")
    uploads = [upload(0, "a", privacy=spent), upload(1, "a", privacy=withheld)]
    [row] = rows(*uploads, score("a", 9.0, PROTECTED))
    assert row.epsilon is None
    assert row.privacy == withheld


def test_the_measure_is_that_of_the_modality() -> None:
    assert summary_of().measure is PSNR
    assert summarise([started(modality="texts")]).measure is TOKENS


def test_without_a_record_there_is_no_summary() -> None:
    with pytest.raises(RunError, match="has not recorded anything yet"):
        summarise([])


def test_labels_that_are_all_wrong_are_counted() -> None:
    wrong = [score("noisy", 9.0, ATTACK_FAILED, label=1, label_found=5) for _ in range(3)]
    told = labels_told(summary_of(upload(0, "noisy"), *wrong))
    assert told is not None
    assert "noisy 0 of 3" in told
