"""What a comparison recommends follows from its figures."""

import math
from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import binom

from fedsim.core.measures import Measure
from fedsim.log.results import Result
from fedsim.log.schema import PrivacySpent
from fedsim.modalities.pictures.measure import PSNR
from fedsim.modalities.texts.measure import TOKENS
from fedsim.show.comparison.advice import advice
from fedsim.show.comparison.bound import ENOUGH, needed, upper_bound
from fedsim.show.comparison.next_run import next_run, too_few_rounds
from fedsim.show.comparison.tables import as_words
from tests.fedsim.engine.tiny import tiny, tiny_sweep


def result(
    label: str,
    leaked: int,
    accuracy: float,
    *,
    place: int = 0,
    attacker: str = "naive",
    failed: int = 0,
    known: bool = True,
    measure: Measure = PSNR,
) -> Result:
    return Result(
        label=label,
        strength="",
        value=None,
        order=(place, 0),
        stage="untrained",
        attacker=attacker,
        known_answer=known,
        meanings={
            "leaked": leaked,
            "attack failed": failed,
            "protected": 20 - leaked - failed,
        },
        measure=measure,
        scores=[30.0] * leaked + [8.0] * (20 - leaked),
        second=[0.5] * 20,
        blind=[9.0] * 20,
        accuracy=[accuracy],
        accuracy_name="test accuracy" if measure is PSNR else "accuracy on next tokens",
        upload_bytes=1000.0,
        attack_seconds=1.0,
        run_seconds=1.0,
        epsilon=None,
        chance=0.1,
        controls=(4, 4),
        batches=(True,) * leaked + (False,) * (200 - leaked),
    )


NONE = result("none", 20, 0.70)


def said(*results: Result) -> str:
    """Return the advice where an adaptive attacker has the same results unless told."""
    told = {r.order for r in results if r.attacker == "adaptive"}
    same = [replace(r, attacker="adaptive") for r in results if r.order not in told]
    return " ".join(advice(tiny(), [*results, *same]))


def test_the_protective_one_that_costs_little_is_recommended() -> None:
    good, dear = result("good", 0, 0.69, place=1), result("dear", 0, 0.40, place=2)
    text = said(NONE, dear, good, result("useless", 20, 0.70, place=3))
    assert text.startswith(
        "Of the defenses that were tried, good protects best at no more than 2 points"
    )
    assert "0 of 20 pictures recognisable and 0 in part (0 of 200 batches; upper bound 2%)" in text
    assert "69.0%, against 70.0% without a defense (one seed: the interval is not known)" in text


def test_few_batches_show_nothing_and_the_next_comparison_is_told() -> None:
    good = replace(result("good", 0, 0.69, place=1), batches=(False,) * 16)
    text = said(NONE, good)
    assert text.startswith("No defense that was tried was shown to protect, so none is recommended")
    assert "nothing leaked so far from: good (0 of 16 batches; upper bound 17%)." in text
    assert "Next, compare these alone with 59 attacked batches each" in text


def test_a_batch_that_leaked_in_part_counts() -> None:
    half = result("half", 0, 0.69, place=1)
    half = replace(half, meanings={"partly leaked": 16}, batches=(True,) * 200)
    assert "shown to fail: half." in said(NONE, half)


@pytest.mark.parametrize(
    "changes",
    [
        {"controls": (4, 3)},
        {"controls": (0, 0)},
        {"known_answer": False},
        {"meanings": {"attack failed": 20}},
        {"meanings": {"protected": 18, "unscored": 2}},
    ],
)
def test_without_evidence_none_is_recommended(changes: dict[str, Any]) -> None:
    odd = replace(result("odd", 0, 0.69, place=1), **changes)
    assert said(NONE, odd).startswith("No defense that was tried was shown to protect")


def test_a_naive_attack_that_fails_is_neither_evidence_nor_an_obstacle() -> None:
    adaptive = result("good", 0, 0.69, place=1, attacker="adaptive")
    naive = result("good", 0, 0.69, place=1, failed=20)
    assert "good protects best" in said(NONE, naive, adaptive)
    leaky = replace(naive, batches=(True,) * 20 + (False,) * 180)
    assert "shown to fail: good." in said(NONE, leaky, adaptive)
    failed = result("good", 0, 0.69, place=1, attacker="adaptive", failed=20)
    assert "Use more evaluations or another attack" in said(NONE, naive, failed)


def test_the_bound_in_closed_form() -> None:
    assert upper_bound(0, 16) == pytest.approx(1 - 0.05 ** (1 / 16))
    assert upper_bound(0, 16, 4) == pytest.approx(1 - 0.0125 ** (1 / 16))
    assert upper_bound(1, 2) == pytest.approx(math.sqrt(0.95))
    assert upper_bound(3, 3) == 1
    for candidates in (1, 4):
        count = needed(candidates)
        assert upper_bound(0, count, candidates) <= 0.05 < upper_bound(0, count - 1, candidates)


def test_the_naive_attacker_alone_shows_nothing() -> None:
    text = " ".join(advice(tiny(), [NONE, result("good", 0, 0.69, place=1)]))
    assert text.startswith("No defense that was tried was shown to protect")


@pytest.mark.parametrize(("batches", "candidates"), [(16, 1), (59, 1), (90, 5)])
def test_without_a_leak_the_bound_has_a_closed_form(batches: int, candidates: int) -> None:
    expected = 1 - (0.05 / candidates) ** (1 / batches)
    assert upper_bound(0, batches, candidates) == pytest.approx(expected)
    assert upper_bound(0, needed(candidates), candidates) <= ENOUGH
    assert upper_bound(0, needed(candidates) - 1, candidates) > ENOUGH


def test_a_bound_of_one_leaking_batch_covers_as_it_says() -> None:
    bound = upper_bound(1, 30)
    assert binom.cdf(1, 30, bound) == pytest.approx(0.05)
    assert upper_bound(30, 30) == upper_bound(0, 0) == 1.0


def test_controls_are_counted_once() -> None:
    poor = replace(NONE, controls=(4, 3))
    text = said(poor, replace(poor, attacker="adaptive"))
    assert "Only 3 of 4 undefended controls were reconstructed" in text


def test_only_a_dear_one_protects() -> None:
    text = said(NONE, result("dear", 1, 0.40, place=1), result("cheap", 12, 0.70, place=2))
    assert text.startswith("No defense that was tried was shown to protect at no more than 2 point")
    assert "The cheapest one that was shown to protect is dear" in text


def test_a_defense_counts_by_its_stronger_attacker() -> None:
    naive = result("pruning", 0, 0.70, place=1)
    adaptive = result("pruning", 20, 0.70, place=1, attacker="adaptive")
    text = said(NONE, naive, adaptive)
    assert "shown to fail: pruning." in text
    assert "Only an attacker who ignores the defense is stopped by: pruning." in text


def test_a_weak_attack_says_nothing() -> None:
    text = said(result("none", 0, 0.7), result("good", 0, 0.7, place=1))
    assert "this attack is too weak here" in text


def test_without_a_reference_there_is_no_cost() -> None:
    assert "add an empty [[grid]] entry" in said(result("good", 0, 0.7, place=1))


def test_a_model_that_has_not_learnt_has_nothing_to_lose() -> None:
    text = said(result("none", 20, 0.12), result("good", 0, 0.1, place=1))
    assert text.startswith("After these rounds the test accuracy is 12.0% without any defense")


def test_numbers_of_which_nothing_is_explained_are_not_learnt() -> None:
    """The chance of R² is 0, so that any share above it would be twice as much."""
    rows = [result("none", 20, 0.001), result("good", 0, 0.001, place=1)]
    text = said(*(replace(row, chance=0.0) for row in rows))
    assert text.startswith("After these rounds the test accuracy is 0.1% without any defense")


def test_nothing_attacked() -> None:
    assert said() == "Nothing was attacked, so there is nothing to recommend."


def test_limits_are_named() -> None:
    text = said(
        replace(NONE, controls=(4, 3)),
        result("odd", 0, 0.7, place=1, failed=3),
        result("new", 0, 0.7, place=2, known=False),
    )
    assert (
        "Only 11 of 12 undefended controls were reconstructed; the others failed with none, where"
        in text
    )
    assert "The attack failed on some pictures of: odd." in text
    assert "fedsim has no countermeasure to: new" in text


def test_a_defense_of_sums_without_an_attacker_is_called_so() -> None:
    odd = replace(result("pruning", 0, 0.7, place=1, known=False), summed=True)
    text = said(NONE, odd)
    assert "no adaptive attacker is known for sums of uploads with pruning." in text
    assert "fedsim has no adaptive attacker of sums of uploads with: pruning;" in text
    assert "no countermeasure to" not in text


def test_examples_of_several_rounds_need_an_attacker_of_all() -> None:
    weak = replace(result("weak", 0, 0.7, place=1, failed=20), apart=20)
    text = said(NONE, weak)
    assert text.startswith("No defense that was tried was shown to protect")
    assert "nothing leaked in single rounds from: weak. That is not protection" in text
    assert "adversary.rounds_together" in text
    assert "Use more evaluations" not in text
    other = replace(weak, apart=10)
    assert "Use more evaluations" in said(NONE, other)


def over(single: Result, **changes: Any) -> list[Result]:
    """Return a naive, an adaptive and an over-rounds result, the singles with rounds apart."""
    apart = replace(single, meanings={"attack failed": 20}, apart=20)
    together = replace(single, attacker="over-rounds", **changes)
    return [apart, replace(apart, attacker="adaptive"), together]


def test_a_defense_that_falls_over_rounds_is_not_recommended() -> None:
    weak = result("weak", 0, 0.7, place=1)
    leak = {"meanings": {"leaked": 20}, "batches": (True,) * 200}
    text = said(NONE, *over(weak, **leak))
    assert "shown to fail: weak." in text
    assert "Only an attacker of single rounds is stopped by: weak." in text
    assert "protects best" not in text
    one = {"meanings": {"protected": 19, "partly leaked": 1}, "batches": (True,) + (False,) * 199}
    assert "weak protects best" in said(NONE, *over(weak, **one))  # the bound is 2.3 %
    few = {**one, "batches": one["batches"][:60]}
    assert "shown to fail: weak." in said(NONE, *over(weak, **few))


def test_a_defense_that_holds_over_rounds_is_judged_by_them() -> None:
    text = said(NONE, *over(result("good", 0, 0.7, place=1)))
    assert "good protects best" in text
    assert "an attacker of all rounds together makes 0 of 20 pictures recognisable" in text
    assert "the attack failed or gave" not in text


@pytest.mark.parametrize(
    "changes",
    [
        {"meanings": {"attack failed": 20}},
        {"meanings": {"unscored": 20}, "scores": [], "second": [], "blind": []},
        {"controls": (4, 3)},
        {"batches": (False,) * 199},  # one of the victims was not attacked over rounds
        {"known_answer": False},
    ],
)
def test_an_attack_over_rounds_that_shows_nothing_recommends_nothing(
    changes: dict[str, Any],
) -> None:
    text = said(NONE, *over(result("odd", 0, 0.7, place=1), **changes))
    assert text.startswith("No defense that was tried was shown to protect")
    assert "Attack all rounds together" not in text


def test_of_texts_it_speaks_in_tokens() -> None:
    none = result("none", 20, 0.5, measure=TOKENS)
    good = result("good", 0, 0.5, place=1, failed=1, measure=TOKENS)
    text = said(none, good)
    assert "makes 0 of 20 texts recognisable" in text
    assert "on average at 8.0% of the tokens where a blind guess has 9.0" in text
    assert "Accuracy on next tokens at the end is 50.0%" in text
    assert "a better attack may find the texts" in text
    assert "picture" not in text


def test_an_attack_that_gives_up_is_no_evidence() -> None:
    gave_up = result("odd", 0, 0.7, place=1)
    gave_up = replace(gave_up, meanings={"unscored": 20}, scores=[], second=[], blind=[])
    assert "The attack gave no reconstruction for some pictures of: odd." in said(NONE, gave_up)


def test_a_few_bytes_more_are_not_told() -> None:
    good = result("good", 0, 0.7, place=1)
    assert "of the bytes" not in said(NONE, replace(good, upload_bytes=1010.0))
    assert "takes 0.5 of the bytes" in said(NONE, replace(good, upload_bytes=500.0))


def test_a_guarantee_in_name_alone_is_called_so() -> None:
    good = result("good", 0, 0.7, place=1)
    assert "ε ≤ 3." in said(NONE, replace(good, epsilon=3.0))
    weak = said(NONE, replace(good, epsilon=4501.0))
    assert "ε ≤ 4.51e+03, which guarantees next to nothing." in weak


def test_what_any_attack_can_reconstruct_stands_beside_an_epsilon() -> None:
    spent = PrivacySpent(epsilon=3.0, delta=1e-5, unit="example", blind=0.01, success=0.1234)
    private = replace(result("good", 0, 0.7, place=1), epsilon=3.0, privacy=spent)
    assert "reconstructed in at most 12.4%" in said(NONE, private)
    none, words = as_words([NONE, private])
    assert (none["any attack"], words["any attack"]) == ("–", "≤ 12.4%")
    assert "any attack" not in as_words([NONE])[0]


def test_the_strength_in_other_units_stands_beside_it() -> None:
    noise = replace(
        result("noise", 0, 0.7, place=1), strength="std=0.01", units="(variance 0.0001)"
    )
    assert as_words([noise])[0]["strength"] == "std=0.01 (variance 0.0001)"
    assert as_words([NONE])[0]["strength"] == "–"


def test_what_has_learnt_too_little_is_told_what_leaked_and_what_to_run_next() -> None:
    none, weak = result("none", 20, 0.10), result("weak", 20, 0.10, place=1)
    text = said(none, weak, result("quiet", 0, 0.10, place=2))
    assert "learnt too little to measure the cost of a defense" in text
    assert "Nothing leaked so far, which does not show protection, from: quiet." in text
    assert "Next, train for more rounds: scenario.federation.rounds = 200, victims = 3, " in text
    assert " here, one run at a time." in text


def test_the_next_comparison_has_enough_batches_and_a_time() -> None:
    good = replace(result("good", 0, 0.69, place=1), batches=(False,) * 16, run_seconds=100.0)
    comparison = tiny("clients=8", "victims=4", "stages={untrained=1}")
    text = next_run(comparison, [replace(good, attack_seconds=10.0)], learnt=True)
    # 59 batches over 8 clients; 80 of the 100 seconds of a run are attacks on 4 victims; and
    # as many runs without a defense.
    assert text == "victims = 8, 8 seeds: about 48 min here, one run at a time"


def test_rounds_that_cannot_teach_are_told_before_the_run() -> None:
    told = too_few_rounds(tiny())
    assert told is not None
    assert told.startswith("2 rounds with 2 local steps in all can hardly teach the model")
    assert too_few_rounds(tiny("scenario.federation.rounds=30", "stages={first=1}")) is None
    assert too_few_rounds(tiny_sweep()) is None  # compares settings, not the cost of defenses
