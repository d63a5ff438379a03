"""Countermeasure to Soteria: a pruned representation."""

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
    """Distance over all tensors except the weight of the classification layer.

    For defenses that change only that layer's weight gradient. Its bias is compared, because it
    reveals the labels.
    """

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0.

        Raises:
            AttackError: there is no other tensor.
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
    """Match all gradients except that of the layer with the pruned input.

    The others are gradients of the true image. Source: Balunovic et al., Bayesian Framework for
    Gradient Leakage, ICLR 2022 (arXiv 2111.04706), section 5.
    """

    def answer(self, known: Known) -> Answer:
        """Return the comparison without the last weight."""
        return Answer((WithoutLastWeight(),))
