"""A loss with the outputs of a model and the targets of a data set."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fedsim.core.errors import DataError
from fedsim.core.losses import LossFunction, LossOfClasses, rows_of
from fedsim.core.outputs import Parts
from fedsim.models.losses.base import Loss


@dataclass(frozen=True)
class ClientLoss:
    """Loss of the clients of a federation.

    Attributes:
        loss: the loss.
        parts: the parts of the model's output, if it has several.
        classes: whether the targets are classes; otherwise rows of numbers.
    """

    loss: Loss
    parts: Parts | None = None
    classes: bool = True

    def check(self, outputs: int) -> None:
        """Check that the loss suits the model and the targets.

        Args:
            outputs: number of classes, or of entries of a target.

        Raises:
            DataError: it does not.
        """
        objection = self.loss.objection(outputs) if self.classes else None
        if self.loss.classes_only and not self.classes:
            objection = (
                "the cross-entropy is for classes, and the targets are not; use 'bce' for several "
                "labels, 'mse' for numbers, or a loss of your own"
            )
        elif self.loss.classes_only and self.parts is not None:
            objection = "the model has several outputs; give a loss of them (register_loss)"
        if objection is not None:
            raise DataError(f"federation.loss: {objection}")

    def of_labels(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a client's batch.

        Args:
            outputs: of the model, ``(N, outputs)``.
            labels: classes ``(N,)``, or rows ``(N, outputs)``.
        """
        if self.parts is None:
            return self.loss.of_labels(outputs, labels)
        return self.of_rows(outputs, rows_of(labels, outputs))

    def of_rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the loss of outputs ``(N, outputs)`` and rows of targets of the same shape."""
        if self.parts is None or not self.loss.takes_parts:
            return self.loss.of_rows(outputs, target)
        return self.loss.of_rows(self.parts.split(outputs), target)

    def function(self) -> LossFunction:
        """Return the loss as attacks take it."""
        if not self.classes:
            return self.of_rows
        return self.loss.function() if self.parts is None else LossOfClasses(self.of_rows)
