"""Against rounding to fewer bits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from torch import Tensor

from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.objectives import RandomRoundingLikelihood, SignMatch
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import (
    GaussianLikelihood,
    LaplacianLikelihood,
    RoundingTolerance,
    innermost,
    with_innermost,
)
from fedsim.core.registry import COUNTERMEASURES

Format = Literal["fp16", "bfloat16", "int8"]

COARSENESS: dict[Format, int] = {"fp16": 0, "bfloat16": 1, "int8": 2}
"""Which format hides the roundings of which."""

_COARSER = GaussianLikelihood | LaplacianLikelihood | SignMatch | RandomRoundingLikelihood

SHARE = 0.5
"""By simulated attacks on public images. With the whole interval the search ends at its edge."""


class _AllowForRounding(Countermeasure):
    format: ClassVar[Format]

    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack with an objective that is flat where rounding is to blame.

        As it was after noise or a coarser rounding, which move the values further, and after
        signs or levels, which it hardly moves.
        """
        present = innermost(attack.objective)
        if isinstance(present, _COARSER):
            return attack
        before = present.format if isinstance(present, RoundingTolerance) else self.format
        if COARSENESS[before] > COARSENESS[self.format]:
            return attack
        tolerance = RoundingTolerance(self.format, unit, SHARE)
        return replace(attack, objective=with_innermost(attack.objective, tolerance))


@COUNTERMEASURES.register("fp16")
class AllowForFp16(_AllowForRounding):
    """Accept what rounds to the upload in IEEE half precision."""

    format = "fp16"


@COUNTERMEASURES.register("bfloat16")
class AllowForBfloat16(_AllowForRounding):
    """Accept what rounds to the upload in bfloat16."""

    format = "bfloat16"


@COUNTERMEASURES.register("int8")
class AllowForInt8(_AllowForRounding):
    """Accept what rounds to the upload at 255 levels."""

    format = "int8"
