"""A function of one's own as a loss that scenarios can name."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from fedsim.core.losses import LossFunction
from fedsim.core.registry import LOSSES
from fedsim.models.losses.base import Loss


class OwnLoss(Loss):
    """A function of the user's own, in the class attribute ``given``."""

    takes_parts: ClassVar[bool] = True
    given: ClassVar[Any]

    def of_rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the value of the function."""
        loss: Tensor = self.given(outputs, target)
        return loss


def register_loss(name: str, function: LossFunction) -> type[Loss]:
    """Register a function as a loss, and return its class.

    To be called in a plugin file (``fedsim run --plugin FILE``) or in a script; scenarios then name
    the loss. A second registration of a name replaces the first.

    Args:
        name: name in scenarios.
        function: of the model's outputs ``(N, outputs)`` and rows of targets ``(N, outputs)``, the
            mean over the examples. Classes come as one-hot rows. The outputs of a model of several
            heads come as it returns them, a tuple or a mapping; the targets of its heads side by
            side in one row. It must be differentiable twice, without branches on values.

    Raises:
        ValueError: another loss has the name.
    """

    class Registered(OwnLoss):
        """A loss of the user's own."""

    Registered.given = staticmethod(function)
    described = getattr(function, "__qualname__", None) or type(function).__qualname__
    Registered.__doc__ = f"A loss of the user's own: {described}."
    return LOSSES.register(name)(Registered)
