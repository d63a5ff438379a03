"""The score of one example, of any modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

from fedsim.core.errors import RunError
from fedsim.core.measures import Measure
from fedsim.core.names import NEAREST
from fedsim.log.values import Figure, Lax, Names, Typed


class Verdict(StrEnum):
    """The scores of a reconstruction in a word, from most leakage to least."""

    RECOGNISABLE = "recognisable"
    PARTLY = "partly"
    GUESSING = "no more than guessing"
    UNSCORED = "unscored"


class Meaning(StrEnum):
    """The conclusion from one scored example about attack and defense."""

    LEAKED = "leaked"
    PARTLY = "partly leaked"
    PROTECTED = "protected"  # the attack fitted the upload as well as the truth does
    ATTACK_FAILED = "attack failed"  # the truth fits better, or the attack is an approximation
    UNSCORED = "unscored"


class ExampleScore(Typed):
    """The score of one reconstructed example, of any modality, against the private one.

    Attributes:
        example: position in the private batch.
        metrics: figures against the private example, by name, such as ``psnr`` in dB; empty if
            there is no reconstruction.
        baselines: the same figures of guesses that see no upload, by the guess's name.
        label: the private label; None if the model learns none.
        label_found: the label that the attack assigns to this example.
        verdict: the scores in a word.
        meaning: the conclusion about attack and defense.
        original, found: the private example and the reconstructed one in words, such as a text's
            tokens; None for a modality without words.
    """

    example: int
    metrics: dict[str, Figure]
    baselines: dict[str, dict[str, Figure]]
    label: int | None = None
    label_found: int | None = None
    verdict: Annotated[Verdict, Lax]
    meaning: Annotated[Meaning, Lax]
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
        """Return the score of an example without a reconstruction: no figure, never 0."""
        return cls(
            example=example,
            metrics={},
            baselines={name: dict(figures) for name, figures in baselines.items()},
            label=label,
            verdict=Verdict.UNSCORED,
            meaning=Meaning.UNSCORED,
            original=None if original is None else tuple(original),
        )

    def figure(self, measure: Measure) -> float | None:
        """Return the headline figure; None if the example is unscored."""
        return self.metrics.get(measure.key)

    def second(self, measure: Measure) -> float | None:
        """Return the figure beside the headline; None if the example is unscored."""
        return self.metrics.get(measure.second)

    def blind(self, measure: Measure) -> float:
        """Return the headline figure of the best blind guess.

        Raises:
            RunError: no blind guess has it.
        """
        guesses = (v.get(measure.key) for name, v in self.baselines.items() if name != NEAREST)
        known = [figure for figure in guesses if figure is not None]
        if not known:
            raise RunError(f"score.baselines: expected the {measure.key} of a blind guess")
        return max(known)
