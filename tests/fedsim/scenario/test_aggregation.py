"""Aggregations of a scenario: what is refused, and with which words."""

import sys

import pytest

from fedsim.core.errors import RunError
from fedsim.core.names import SUM
from fedsim.scenario import Scenario
from fedsim.scenario.aggregation import MODULUS, Ckks, Plain, SecAggPlus, load_tenseal
from fedsim.server.orderly import draw_cohort
from tests.fedsim.small import refusal, small


def test_plain_is_the_default_and_takes_anyone() -> None:
    assert isinstance(small("clients.0.count=1").federation.aggregation, Plain)


@pytest.mark.parametrize("aggregation", ["plain", "secagg+", "ckks"])
def test_a_scenario_with_an_aggregation_comes_back_from_its_text(aggregation: str) -> None:
    case = small(f"federation.aggregation={aggregation}")
    assert Scenario.from_toml(case.to_toml()) == case


def test_parameters_are_given_in_a_table() -> None:
    table = (
        "{name='secagg+', shares=3, reconstruction_threshold=2, clipping_range=4.0, "
        "quantization_range=1024}"
    )
    case = small(f"federation.aggregation={table}", "clients.0.count=9")
    assert case.federation.aggregation == SecAggPlus(
        shares=3, reconstruction_threshold=2, clipping_range=4.0, quantization_range=1024
    )


@pytest.mark.parametrize("cohort", range(3, 12))
def test_by_default_all_share_and_more_than_half_of_the_shares_are_needed(cohort: int) -> None:
    plan = SecAggPlus()
    plan.check(cohort)
    assert plan.shares_of(cohort) == cohort
    assert cohort / 2 < plan.threshold_of(cohort) < cohort


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["clients.0.count=2"], "at least 3 clients in a round, not 2"),
        (["clients.0.count=9", "federation.fraction=0.2"], "at least 3 clients in a round, not 2"),
        (["federation.aggregation={name='secagg+', shares=5}"], "shares = 5 with 3 clients"),
        (
            ["clients.0.count=9", "federation.aggregation={name='secagg+', shares=4}"],
            "an odd number below the number of clients",
        ),
        (
            ["federation.aggregation={name='secagg+', reconstruction_threshold=3}"],
            "expected less than the 3 shares",
        ),
        (
            ["clients.0.count=4", f"federation.aggregation.quantization_range={2**30}"],
            f"does not fit into 32 bits; use {(MODULUS - 1) // 4} or less",
        ),
        (["federation.aggregation={name='ckks'}", "clients.0.count=1"], "with one client"),
        (["federation.aggregation='secag+'"], "did you mean 'secagg+'?"),
        (["federation.aggregation={name='secagg+', shars=3}"], "did you mean 'shares'?"),
        (["federation.aggregation={name='secagg+', shares=2}"], "federation.aggregation.shares: "),
    ],
)
def test_what_cannot_work_is_refused(overrides: list[str], expected: str) -> None:
    message = refusal("federation.aggregation=secagg+", *overrides)
    assert expected in message
    assert "federation.aggregation" in message


def test_no_group_may_be_called_like_the_sum() -> None:
    assert "reserved for the sum of all uploads" in refusal(f"clients.0.name='{SUM}'")


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 1.0])
def test_the_size_of_a_cohort_is_that_of_the_rounds(fraction: float) -> None:
    case = small(f"federation.fraction={fraction}", "clients.0.count=9")
    assert case.cohort_size == len(draw_cohort(5, 1, range(9), fraction))


def test_without_tenseal_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tenseal", None)
    with pytest.raises(RunError, match=r"pip install 'fedsim-leakage\[he\]'"):
        load_tenseal()


def test_ckks_needs_no_parameters() -> None:
    assert Ckks().limit == 1024
