"""Base class of every loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from fedsim.core.checked import Parameters, checked
from fedsim.core.losses import LossFunction, LossOfClasses, rows_of


@checked
class Loss(Parameters, ABC):
    """Loss of a batch: its parameters, and the function that they give.

    Clients and the adversary use the same function; the server knows it, because it sends the
    training configuration. See `fedsim.models.losses.client.ClientLoss` for targets that are not
    classes.
    """

    classes_only: ClassVar[bool] = False
    """Whether it is for targets that are classes alone."""

    takes_parts: ClassVar[bool] = False
    """Whether it gets the outputs of a model of several heads as the model returns them."""

    @abstractmethod
    def of_rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the loss, the mean over the examples, a scalar.

        Without branches on values, so that attacks can map it over batches and differentiate it
        twice.

        Args:
            outputs: of the model, ``(N, classes)``.
            target: rows of the same shape: one-hot, or probabilities.
        """

    def of_labels(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a client's batch.

        Args:
            outputs: of the model, ``(N, classes)``.
            labels: classes ``(N,)``, or probabilities ``(N, classes)``.
        """
        return self.of_rows(outputs, rows_of(labels, outputs))

    def function(self) -> LossFunction:
        """Return the loss as attacks take it."""
        return LossOfClasses(self.of_rows)

    @property
    def is_plain(self) -> bool:
        """Whether it is the mean cross-entropy, the only one for texts."""
        return False

    def objection(self, classes: int) -> str | None:
        """Return the reason why the loss does not suit a number of classes, or None."""
        return None
