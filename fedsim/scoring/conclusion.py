"""Conclusion from a verdict: whether an example leaked, is protected, or the attack failed.

An example that did not leak is protected only if nothing else explains that it did not: the
attacker's equations explain the upload by the private data, the attack ended with a fit as good as
theirs, its objective had stopped falling, the positive control was reconstructed, and the score is
not below a blind guess. In doubt, the attack failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedsim.attacks import Reconstruction, Status, TruthFit
from fedsim.attacks.matching.optimisers.lbfgs import LEAST_GAIN
from fedsim.log.schema import Doubt, Meaning, Verdict
from fedsim.log.score import worst_fit

DISCRETE_MARGIN = 1 + 1e-6
"""Largest ratio of the objective of discrete data to the truth's at which they count as found: they
are found or not, and only rounding remains."""

LATE, FALL = 0.75, 0.01
"""Share of the evaluations after which an objective should have stopped falling, and the largest
further fall, as a share of its final value or of its whole fall, whichever is less."""

SMALL = LEAST_GAIN / FALL
"""Whole fall, as a share of the final value, of which a plateau of the search may be `FALL`."""


@dataclass(frozen=True)
class Circumstances:
    """The circumstances of an attack that its objective does not show.

    Attributes:
        undefended: whether the upload is one undefended step of one client.
        naive: whether the attacker ignores a defense of the upload.
        unanswered: whether no adaptive attacker is known for one of the defenses.
        not_trained_on: whether the client mixed or changed the private examples first.
        approximate: whether several steps, or batches, were treated as one.
        discrete: whether the data are discrete.
        relaxed: whether the attack searched for discrete data among points between them, whose fit
            says nothing about that of the data.
        rounds_apart: whether the client uses an example of the batch in another round too, which
            the attacker did not combine with this one.
        control: whether the round's positive control was fully reconstructed.
    """

    undefended: bool
    naive: bool
    unanswered: bool
    not_trained_on: bool
    approximate: bool
    discrete: bool
    relaxed: bool
    rounds_apart: bool
    control: bool


@dataclass(frozen=True)
class Conclusion:
    """Meaning of a verdict for attack and defense.

    Attributes:
        meaning: the meaning.
        doubts: reasons why an example that did not leak is not protected.
    """

    meaning: Meaning
    doubts: tuple[Doubt, ...] = ()

    def with_doubt(self, doubt: Doubt) -> Conclusion:
        """Return the conclusion for an example that did not leak, with a further doubt."""
        both = tuple(d for d in Doubt if d is doubt or d in self.doubts)
        return Conclusion(Meaning.ATTACK_FAILED, both)


def conclude(
    word: Verdict,
    found: Reconstruction,
    fit: TruthFit | None,
    circumstances: Circumstances,
    *,
    below_guess: bool,
) -> Conclusion:
    """Return the conclusion about one example.

    Args:
        word: verdict on its reconstruction.
        found: the reconstruction of its batch.
        fit: fit of the private batch; None if the attack has no objective.
        circumstances: of the attack.
        below_guess: whether the score is below that of a blind guess by more than chance.
    """
    if word is Verdict.RECOGNISABLE:
        return Conclusion(Meaning.LEAKED)
    if word is Verdict.PARTLY:
        return Conclusion(Meaning.PARTLY)
    if word in (Verdict.NOTHING, Verdict.UNSCORED, Verdict.NOT_COMPARED):
        return Conclusion(Meaning(word))
    doubts = (*_of_circumstances(circumstances), *_of_the_fit(found, fit, circumstances.discrete))
    doubts += (Doubt.BELOW_GUESS,) * below_guess
    ordered = tuple(d for d in Doubt if d in doubts)
    return Conclusion(Meaning.ATTACK_FAILED if ordered else Meaning.PROTECTED, ordered)


def _of_circumstances(circumstances: Circumstances) -> Iterator[Doubt]:
    if circumstances.undefended:
        yield Doubt.UNDEFENDED
    if circumstances.naive:
        yield Doubt.NAIVE_ATTACKER
    if circumstances.unanswered:
        yield Doubt.UNANSWERED
    if circumstances.not_trained_on:
        yield Doubt.NOT_TRAINED_ON
    if circumstances.approximate:
        yield Doubt.APPROXIMATE
    if circumstances.relaxed:
        yield Doubt.RELAXED
    if circumstances.rounds_apart:
        yield Doubt.ROUNDS_APART
    if not circumstances.control:
        yield Doubt.NO_CONTROL


def _of_the_fit(found: Reconstruction, fit: TruthFit | None, discrete: bool) -> Iterator[Doubt]:
    if fit is None:
        yield Doubt.NO_OBJECTIVE
        return
    if not fit.explained:
        yield Doubt.WRONG_EQUATIONS
    truth = fit.relative_objective
    worst = DISCRETE_MARGIN * truth if discrete else worst_fit(truth)
    if not found.relative_objective <= max(worst, fit.rounding):
        yield Doubt.NO_FIT
    if discrete and fit.relative_objective <= fit.rounding:
        yield Doubt.EXACT_DISCRETE
    if still_falling(found):
        yield Doubt.STILL_FALLING


def still_falling(found: Reconstruction) -> bool:
    """Return whether the objective fell until the evaluations, or the time, ran out.

    An objective near zero is compared with itself; one that noise keeps high, with its whole fall.
    A search that ended on a plateau had only ceased to gain a share of its value: where its whole
    fall is no more than `SMALL` of that, the fall may have gone on.
    """
    values = [s.objective for s in found.history]
    if found.status is Status.STALLED:
        if len(values) < 2 or values[0] - values[-1] > SMALL * values[-1]:
            return False
    elif found.status not in (Status.EXHAUSTED, Status.STOPPED):
        return False
    late = [s for s in found.history if s.evaluation <= LATE * found.evaluations]
    if len(values) < 2 or not late:
        return True
    last = values[-1]
    return not late[-1].objective - last <= FALL * min(values[0] - last, last)
