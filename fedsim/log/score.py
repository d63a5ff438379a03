"""Score of one example of any modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

from fedsim.core.errors import RunError
from fedsim.core.measures import Measure
from fedsim.core.names import CHOSEN_BY_TRUTH
from fedsim.log.values import Figure, Lax, Names, Typed


class Verdict(StrEnum):
    """Verdict on a reconstruction, from most to least leakage."""

    RECOGNISABLE = "recognisable"
    PARTLY = "partly"
    GUESSING = "no more than guessing"
    NOTHING = "nothing to leak"
    UNSCORED = "unscored"
    NOT_COMPARED = "not compared"


class Meaning(StrEnum):
    """Conclusion about attack and defense from one scored example."""

    LEAKED = "leaked"
    PARTLY = "partly leaked"
    PROTECTED = "protected"  # an attack with the right equations, and without any other `Doubt`
    ATTACK_FAILED = "attack failed"  # nothing leaked, and that is not evidence for a defense
    NOTHING = "nothing to leak"  # the private example holds nothing that a reader could see
    UNSCORED = "unscored"
    NOT_COMPARED = "not compared"  # the private example is unknown to the run


class Doubt(StrEnum):
    """Reason why an example that did not leak is not called protected; the weightiest first."""

    UNDEFENDED = "undefended"
    NAIVE_ATTACKER = "naive attacker"
    UNANSWERED = "unanswered defense"
    NOT_TRAINED_ON = "not trained on"
    WRONG_EQUATIONS = "wrong equations"
    APPROXIMATE = "approximate equations"
    NO_OBJECTIVE = "no objective"
    NO_FIT = "no fit"
    EXACT_DISCRETE = "exact discrete"
    RELAXED = "relaxed search"
    STILL_FALLING = "still falling"
    ROUNDS_APART = "rounds apart"
    BY_CHOICE = "by choice"
    UNLIKE = "unlike public"
    NO_CONTROL = "no control"
    BELOW_GUESS = "below guess"

    @property
    def reason(self) -> str:
        """The reason as a clause."""
        return _REASONS[self]


_REASONS = {
    Doubt.UNDEFENDED: "one undefended step of one client tells its data to a better attack",
    Doubt.NAIVE_ATTACKER: "the attacker ignores the defense",
    Doubt.UNANSWERED: "no adaptive attacker is known for a defense of this client",
    Doubt.NOT_TRAINED_ON: "the client did not train on the private example itself",
    Doubt.WRONG_EQUATIONS: "the attacker's equations do not explain the upload",
    Doubt.APPROXIMATE: "the attacker's equations are an approximation",
    Doubt.NO_OBJECTIVE: "the attack has no objective to compare with that of the private data",
    Doubt.NO_FIT: "the private data fit the upload better than the reconstruction does",
    Doubt.EXACT_DISCRETE: "discrete data that fit the upload exactly are found by a better search",
    Doubt.RELAXED: "the attack searched among embeddings, which fit noise without being a text",
    Doubt.ROUNDS_APART: "the client uses an example again in other rounds, which were not combined",
    Doubt.STILL_FALLING: "the objective was still falling at the last evaluation",
    Doubt.BY_CHOICE: "some reconstruction of the batch resembles it, as some resemble public ones",
    Doubt.UNLIKE: "it ranks first among public pictures, but they are of another kind",
    Doubt.NO_CONTROL: "the positive control was not fully reconstructed",
    Doubt.BELOW_GUESS: "the score is below a blind guess by more than chance",
}


FIT_MARGIN = 0.1
"""Share by which an objective may exceed that of the private data and still count as found. Two
local minima of the same quality differ by a few per cent in a float32 objective."""


def worst_fit(truth: float) -> float:
    """Return the largest relative objective that is as good as the private data's.

    Noise keeps theirs near 1, which is that of a zero gradient: the margin is then a share of what
    the private data explain, or a search that found nothing would fit as well.

    Args:
        truth: relative objective of the private data.
    """
    return truth + FIT_MARGIN * min(truth, max(0.0, 1.0 - truth))


class ExampleScore(Typed):
    """Score of one reconstructed example of any modality against the private one.

    Attributes:
        example: index in the private batch.
        metrics: metrics against the private example, by name, such as ``psnr`` in dB; empty if
            there is no reconstruction.
        baselines: the same metrics for guesses without the upload, by the guess's name.
        label: the private label; None if the task has no labels.
        label_found: the label that the attack assigns to this example.
        labels_told: of an example with several labels, the number of those that the attack assigns
            correctly, and of all; None for other examples, or if it assigns none.
        verdict: the verdict.
        meaning: the conclusion about attack and defense.
        doubts: reasons why an example that did not leak is not called protected, the weightiest
            first; empty for other meanings, and in logs of earlier versions.
        original, found: displayed tokens of the private and the reconstructed example; None for a
            modality without tokens.
    """

    example: int
    metrics: dict[str, Figure]
    baselines: dict[str, dict[str, Figure]]
    label: int | None = None
    label_found: int | None = None
    labels_told: Annotated[tuple[int, int] | None, Lax] = None
    verdict: Annotated[Verdict, Lax]
    meaning: Annotated[Meaning, Lax]
    doubts: Annotated[tuple[Annotated[Doubt, Lax], ...], Lax] = ()
    original: Names | None = None
    found: Names | None = None

    @classmethod
    def unscored(
        cls,
        example: int,
        baselines: Mapping[str, Mapping[str, float | None]],
        *,
        label: int | None = None,
        original: Sequence[str] | None = None,
    ) -> ExampleScore:
        """Return the score of an example without a reconstruction, which has no metrics."""
        return cls(
            example=example,
            metrics={},
            baselines={name: dict(figures) for name, figures in baselines.items()},
            label=label,
            verdict=Verdict.UNSCORED,
            meaning=Meaning.UNSCORED,
            original=None if original is None else tuple(original),
        )

    @classmethod
    def not_compared(cls, example: int, *, label_found: int | None = None) -> ExampleScore:
        """Return the score of a reconstruction whose private example is unknown: without metrics.

        Args:
            example: index in the reconstructed batch.
            label_found: the label that the attack assigns to it.
        """
        return cls(
            example=example,
            metrics={},
            baselines={},
            label_found=label_found,
            verdict=Verdict.NOT_COMPARED,
            meaning=Meaning.NOT_COMPARED,
        )

    @property
    def told_label(self) -> bool:
        """Whether the attack assigns a label, or several, to this example."""
        return self.label_found is not None or self.labels_told is not None

    def figure(self, measure: Measure) -> float | None:
        """Return the headline measure, or None if the example is unscored."""
        return self.metrics.get(measure.key)

    def second(self, measure: Measure) -> float | None:
        """Return the secondary measure, or None if the example is unscored."""
        return self.metrics.get(measure.second)

    def blind(self, measure: Measure) -> float:
        """Return the headline measure of the best blind guess.

        Raises:
            RunError: no blind guess has this metric.
        """
        guesses = (
            v.get(measure.key) for name, v in self.baselines.items() if name not in CHOSEN_BY_TRUTH
        )
        known = [figure for figure in guesses if figure is not None]
        if not known:
            raise RunError(f"score.baselines: expected the {measure.key} of a blind guess")
        return max(known)
