"""Check that a received model is not far worse than those before it."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from fedsim.clients.defenses.checking import Check, Finding, Received
from fedsim.core.registry import DEFENSES

LAST = 5
"""Number of models whose losses a client remembers."""

LEAST = 2
"""Number of losses that it must remember to judge. With one, LeNets that begin to train on batches
of 16 public clothes raise alarms; with two they do not (``tests/clients/defenses``)."""

LEAST_BATCH = 8
"""Batch size from which a loss is judged: one example that is hard moves that of a smaller batch by
as much as a change of the model does."""


@DEFENSES.register("loss-jump")
class LossJump(Check):
    """Check that the loss on the client's batch is not far above those of the models before.

    Weights that a server constructs in place of learnt ones give up what the model had learnt, so
    that the loss of a trained model jumps back to that of a guess. Carletti et al., On the
    Detectability of Active Gradient Inversion Attacks (arXiv 2511.10502), look for anomalies of
    loss and gradient over time; only their abstract could be read, and the rule is our own: a rise
    above the highest of the last five losses, in units of the loss of outputs of zero, which for
    classes is that of a uniform guess. A client's first two models are not judged, nor are batches
    of fewer than 8 examples, whose loss varies by as much. It does not see a change that keeps what
    the model has learnt (`imprint`), one of a model that has learnt little yet, nor a loss that a
    patient server raises by less than ``rise`` in each round. The loss of a suspicious model is not
    remembered.
    """

    needs_data: ClassVar[bool] = True
    remembers: ClassVar[bool] = True

    rise: Annotated[
        float,
        Field(
            gt=0,
            examples=[0.5],
            description="rise of the loss in units of the loss of outputs of zero",
        ),
    ] = 0.5

    def examine(self, received: Received) -> Finding:
        """Measure; reports ``loss`` and its ``rise``, both in units of that of zeros."""
        if received.model is None or received.batch is None:
            return Finding(None)
        inputs, labels = received.batch()
        with torch.no_grad():
            outputs = received.model()(inputs)
            unit = float(received.loss(torch.zeros_like(outputs), labels))
            if not unit > 0:  # nothing to compare with, as for numbers that are all zero
                return Finding(None, kept=dict(received.remembered))
            loss = float(received.loss(outputs, labels)) / unit
        before = [received.remembered[k] for k in sorted(received.remembered)]
        judged = len(before) >= LEAST and len(inputs) >= LEAST_BATCH
        rise = loss - max(before) if judged else 0.0
        if rise <= self.rise:
            last = [*before, *([loss] if math.isfinite(loss) else [])][-LAST:]
            kept = {str(i): value for i, value in enumerate(last)}
            return Finding(None, {"loss": loss, "rise": rise}, kept)
        problem = (
            f"the loss on the client's batch is {loss:.1f} times that of outputs of zero, after at "
            f"most {max(before):.1f} times in the rounds before"
        )
        return Finding(problem, {"loss": loss, "rise": rise}, dict(received.remembered))
