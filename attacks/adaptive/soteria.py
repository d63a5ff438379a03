"""Against a perturbed representation."""

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.matching.objectives import Gradient, Wrapper
from fedsim.core.errors import AttackError
from fedsim.core.registry import COUNTERMEASURES


@dataclass(frozen=True)
class WithoutLastWeight(Wrapper):
    """Distance over all tensors but the weight of the classification layer.

    For defenses that change what stands in that layer's gradient and no other. Its bias is
    compared: it tells the labels.
    """

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0.

        Raises:
            AttackError: no other tensor is left.
        """
        dense = [k for k, s in shared.items() if s.ndim == 2]
        left = {k: s for k, s in shared.items() if k not in dense[-1:]}
        if not left:
            raise AttackError(
                f"no tensor of the gradient is left to compare without {dense[-1]!r}; attack "
                "without the countermeasure, or a model with more layers"
            )
        return self.base({k: dummy[k] for k in left}, left)


@COUNTERMEASURES.register("soteria")
class LeaveOutLastWeight(Countermeasure):
    """Match all gradients but that of the layer whose input was pruned.

    The others are those of the true image. Source: Balunovic et al., Bayesian Framework for
    Gradient Leakage, ICLR 2022 (arXiv 2111.04706), section 5.
    """

    def answer(self, known: Known) -> Answer:
        """Return the comparison without the last weight."""
        return Answer((WithoutLastWeight(),))
