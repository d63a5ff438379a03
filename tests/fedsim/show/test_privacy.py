"""Guarantees in words."""

import pytest

from fedsim.log.schema import PrivacySpent
from fedsim.log.summary import summarise
from fedsim.show.privacy import audited, guarantee, lower, robustness, statements, upper
from tests.fedsim.runs import leakage, started, upload

SPENT = PrivacySpent(
    epsilon=23.6416,
    delta=1e-5,
    unit="example",
    adjacency="replace-one",
    noise_multiplier=1.0,
    norm=0.5,
    drawn=8,
    population=125,
    uploads=100,
    blind=0.01,
    success=0.68656,
    claimed=9.9973,
    measured=7.5216,
)


@pytest.mark.parametrize(
    ("bound", "shown"),
    [(23.6416, "23.7"), (3.0, "3"), (0.0123, "0.0123"), (4501.0, "4.51e+03"), (0.0, "0")],
)
def test_an_upper_bound_is_rounded_up(bound: float, shown: str) -> None:
    assert upper(bound) == shown


def test_a_guarantee_stands_beside_all_that_it_depends_on() -> None:
    assert guarantee(SPENT) == (
        "ε ≤ 23.7 (δ = 1e-05, one example replaced, σ = 1 on norm 0.5, "
        "8 of 125 examples drawn, 100 uploads)"
    )
    whole = SPENT.model_copy(update={"unit": "client", "uploads": 1})
    assert "all data of a client replaced, σ = 1 on norm 0.5, 1 upload)" in guarantee(whole)
    often = SPENT.model_copy(update={"drawn": 125, "uses": 2})
    assert "each example in 2 steps at most" in guarantee(often)


def test_the_audit_stands_beside_the_claim() -> None:
    assert audited(SPENT) == "audit of one upload: claimed ≤ 10, measured ≥ 7.5 at 95%"
    assert audited(SPENT.model_copy(update={"measured": None})) == ""
    assert lower(7.5999) == "7.5"
    assert lower(0.0) == "0"


def test_a_withheld_guarantee_says_why() -> None:
    withheld = PrivacySpent(epsilon=None, delta=1e-5, unit="example", withheld="lengths are sent")
    assert guarantee(withheld) == "no ε: lengths are sent"
    assert robustness(withheld) == ""


def test_the_bound_on_reconstructions_stands_beside_what_the_attack_achieved() -> None:
    records = [upload(0, "a", privacy=SPENT), leakage("v", "a"), leakage("w", "a", psnr=5.0)]
    [(group, said)] = statements(summarise([started(), *records]).rows)
    assert group == "a"
    assert "; audit of one upload: claimed" in said
    assert "what a guess gets right in 1% of cases is reconstructed in at most 68.7%" in said
    assert said.endswith("the naive attacker made 2 of 2 recognisable")
    none = SPENT.model_copy(update={"success": 1.0})
    assert robustness(none) == "this ε bounds no reconstruction"


def test_older_logs_state_less() -> None:
    old = PrivacySpent(epsilon=2.0, delta=1e-5, unit="client")
    assert guarantee(old) == "ε ≤ 2 (δ = 1e-05, unit: all data of a client)"
