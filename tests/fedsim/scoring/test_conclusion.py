"""Conclusions from verdicts: one doubt is enough, and each doubt is one."""

from dataclasses import replace

import pytest
import torch

from fedsim.attacks import Reconstruction, Snapshot, Status, TruthFit
from fedsim.log.schema import Doubt, Meaning, Verdict
from fedsim.log.score import worst_fit
from fedsim.scoring.conclusion import (
    Circumstances,
    Conclusion,
    conclude,
    still_falling,
)

DATA = torch.zeros(1, 1, 2, 2)
CLEAR = Circumstances(
    undefended=False,
    naive=False,
    unanswered=False,
    not_trained_on=False,
    approximate=False,
    discrete=False,
    relaxed=False,
    rounds_apart=False,
    control=True,
)
NOISE = TruthFit(relative_objective=0.3, explained=True, rounding=1e-12)


def ended(objective: float = 0.3, status: Status = Status.STALLED) -> Reconstruction:
    return Reconstruction(DATA, None, objective, objective, status, 100)


def falling(*values: float, status: Status = Status.EXHAUSTED) -> Reconstruction:
    each = 100 // len(values)
    history = tuple(Snapshot((i + 1) * each, v, DATA) for i, v in enumerate(values))
    return replace(ended(values[-1], status), history=history)


def doubts(
    found: Reconstruction | None = None,
    fit: TruthFit | None = NOISE,
    circumstances: Circumstances = CLEAR,
    below: bool = False,
) -> tuple[Doubt, ...]:
    given = ended() if found is None else found
    conclusion = conclude(Verdict.GUESSING, given, fit, circumstances, below_guess=below)
    assert (conclusion.meaning is Meaning.PROTECTED) == (not conclusion.doubts)
    assert conclusion.meaning in (Meaning.PROTECTED, Meaning.ATTACK_FAILED)
    return conclusion.doubts


def test_without_a_doubt_an_example_is_protected() -> None:
    assert doubts() == ()
    assert doubts(ended(0.99 * worst_fit(0.3))) == ()
    assert doubts(ended(1e-12), replace(NOISE, relative_objective=0.0)) == ()


@pytest.mark.parametrize(
    ("doubt", "found", "fit", "circumstances", "below"),
    [
        (Doubt.UNDEFENDED, None, NOISE, replace(CLEAR, undefended=True), False),
        (Doubt.NAIVE_ATTACKER, None, NOISE, replace(CLEAR, naive=True), False),
        (Doubt.UNANSWERED, None, NOISE, replace(CLEAR, unanswered=True), False),
        (Doubt.NOT_TRAINED_ON, None, NOISE, replace(CLEAR, not_trained_on=True), False),
        (Doubt.APPROXIMATE, None, NOISE, replace(CLEAR, approximate=True), False),
        (Doubt.ROUNDS_APART, None, NOISE, replace(CLEAR, rounds_apart=True), False),
        (Doubt.NO_CONTROL, None, NOISE, replace(CLEAR, control=False), False),
        (Doubt.WRONG_EQUATIONS, None, replace(NOISE, explained=False), CLEAR, False),
        (Doubt.NO_OBJECTIVE, None, None, CLEAR, False),
        (Doubt.NO_FIT, ended(1.01 * worst_fit(0.3)), NOISE, CLEAR, False),
        # Noise of 50 times the gradient's variance: a zero gradient fits to 2 per cent as well.
        (Doubt.NO_FIT, ended(1.0), replace(NOISE, relative_objective=0.98), CLEAR, False),
        (Doubt.NO_FIT, ended(1.02), replace(NOISE, relative_objective=1.01), CLEAR, False),
        # Noise makes the objective of every text large: the truth's must be reached.
        (Doubt.NO_FIT, ended(1.0001 * 0.3), NOISE, replace(CLEAR, discrete=True), False),
        (Doubt.NO_FIT, ended(float("nan")), NOISE, CLEAR, False),
        # No absolute floor: a fit of 1e-7 is not one where the truth fits to 1e-12.
        (Doubt.NO_FIT, ended(1e-7), replace(NOISE, relative_objective=0.0), CLEAR, False),
        (
            Doubt.EXACT_DISCRETE,
            ended(0.0),
            replace(NOISE, relative_objective=0.0),
            replace(CLEAR, discrete=True),
            False,
        ),
        (Doubt.RELAXED, None, NOISE, replace(CLEAR, relaxed=True), False),
        (Doubt.STILL_FALLING, falling(1.0, 0.8, 0.5, 0.3), NOISE, CLEAR, False),
        (Doubt.BELOW_GUESS, None, NOISE, CLEAR, True),
    ],
)
def test_one_doubt_is_enough(
    doubt: Doubt,
    found: Reconstruction | None,
    fit: TruthFit | None,
    circumstances: Circumstances,
    below: bool,
) -> None:
    assert doubts(found, fit, circumstances, below) == (doubt,)
    assert doubt.reason


def test_each_doubt_has_its_case() -> None:
    [mark] = [m for m in test_one_doubt_is_enough.pytestmark if m.name == "parametrize"]  # type: ignore[attr-defined]
    # The choice among a batch's reconstructions is one of each picture, not of the attack.
    assert {case[0] for case in mark.args[1]} == set(Doubt) - {Doubt.BY_CHOICE, Doubt.UNLIKE}


def test_a_further_doubt_forbids_protection() -> None:
    found = Conclusion(Meaning.PROTECTED).with_doubt(Doubt.BY_CHOICE)
    assert (found.meaning, found.doubts) == (Meaning.ATTACK_FAILED, (Doubt.BY_CHOICE,))
    both = found.with_doubt(Doubt.NO_FIT).doubts
    assert both == (Doubt.NO_FIT, Doubt.BY_CHOICE)


@pytest.mark.parametrize(
    ("truth", "worst"), [(0.0, 0.0), (0.1, 0.11), (0.5, 0.55), (0.9, 0.91), (1.0, 1.0), (1.2, 1.2)]
)
def test_the_margin_is_a_tenth_of_the_smaller_part(truth: float, worst: float) -> None:
    assert worst_fit(truth) == pytest.approx(worst)


@pytest.mark.parametrize("word", [Verdict.NOTHING, Verdict.UNSCORED])
def test_nothing_to_leak_is_neither_protected_nor_a_failed_attack(word: Verdict) -> None:
    conclusion = conclude(word, ended(), NOISE, CLEAR, below_guess=False)
    assert conclusion == Conclusion(Meaning(word))


def test_what_leaked_leaked_whatever_the_doubts() -> None:
    worst = replace(CLEAR, undefended=True, naive=True, control=False)
    for word, meaning in (
        (Verdict.RECOGNISABLE, Meaning.LEAKED),
        (Verdict.PARTLY, Meaning.PARTLY),
        (Verdict.UNSCORED, Meaning.UNSCORED),
    ):
        conclusion = conclude(word, ended(), None, worst, below_guess=True)
        assert (conclusion.meaning, conclusion.doubts) == (meaning, ())


@pytest.mark.parametrize(
    ("found", "falls"),
    [
        (falling(1.0, 1e-3, 1e-5, 7.3e-7), True),  # a little every time, far below the start
        (falling(1.0, 0.5, 0.3, 0.3), False),
        (falling(7800.0, 7510.0, 7505.0, 7500.0), True),  # noise keeps the value high
        (falling(7800.0, 7500.0, 7500.0, 7499.9), False),
        (falling(1.0, 0.5, 0.3, 0.2, status=Status.STALLED), False),
        (falling(1e5 + 4, 1e5 + 3, 1e5 + 2, 1e5 + 1, status=Status.STALLED), True),  # a plateau
        (falling(1e5 + 4, 1e5 + 2, 1e5 + 1, 1e5 + 1, status=Status.STALLED), False),
        (falling(1e5 + 400, 1e5 + 300, 1e5 + 200, 1e5, status=Status.STALLED), False),
        (falling(1.0, status=Status.STALLED), False),  # no step improved the start
        (falling(1.0, 0.5, 0.3, 0.2, status=Status.CONVERGED), False),
        (falling(1.0, 0.5, 0.3, 0.2, status=Status.STOPPED), True),
        (falling(1.0), True),  # nothing is known of the fall
    ],
)
def test_an_objective_still_falls_if_its_last_quarter_changes_it(
    found: Reconstruction, falls: bool
) -> None:
    assert still_falling(found) is falls
