"""Check for single examples that dominate their own gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from fedsim.clients.defenses.checking import Check, Finding, Received
from fedsim.clients.defenses.row_gradients import row_gradients
from fedsim.core.registry import DEFENSES

LEAST_BATCH = 4
"""Batch size from which a batch is checked: in a smaller one each example dominates anyway."""


@DEFENSES.register("single-example-dominance")
class SingleExampleDominance(Check):
    """Check before the upload how many examples of the batch a row of the gradient gives away.

    For each row of a dense layer it compares the examples' own bias gradients: a row in which one
    example has nearly all of them holds this example's input undiluted. Garov et al. (arXiv
    2306.03013) compare whole layers' gradients of single examples (D-SNR); rows are finer, since
    one row suffices. It says what leaks, not who is to blame: honest ReLU networks give away some
    examples too, and wide ones as many as trap weights do, so that an alarm on an honest model is
    counted as a true leak, and not as a false alarm. The rows of the last layer belong to
    classes: a batch of no more examples than classes is measured there and not judged, because each
    of them may have a row to itself in any trained model, and what such a row tells is the last
    features of the example.
    """

    needs_data: ClassVar[bool] = True
    accuses: ClassVar[bool] = False

    share: Annotated[
        float, Field(gt=0, le=1, description="share of the batch that rows give away")
    ] = 0.5
    dominance: Annotated[
        float,
        Field(gt=0.5, le=1, description="part of a row's gradients that one example has"),
    ] = 0.99

    def examine(self, received: Received) -> Finding:
        """Measure; reports ``given_away``, the largest share of the batch over the layers."""
        if received.model is None or received.batch is None:
            return Finding(None)
        inputs, labels = received.batch()
        if len(inputs) < LEAST_BATCH:
            return Finding(None, {"given_away": 0.0})
        parts = row_gradients(received.model(), inputs, labels, received.loss)
        shares = {name: given_away(part, self.dominance) for name, part in parts.items()}
        judged = {k: v for k, v in shares.items() if not _tells_classes_alone(k, parts)}
        name = max(judged, key=lambda k: judged[k], default="")
        problem = None
        if judged.get(name, 0.0) >= self.share:
            problem = (
                "your own gradient gives examples away, whether the server is malicious or not: "
                f"rows of {name} hold {judged[name]:.0%} of the batch, one example each"
            )
        return Finding(problem, {"given_away": max(shares.values(), default=0.0)})


def _tells_classes_alone(name: str, parts: Mapping[str, Tensor]) -> bool:
    """Return whether a layer is the last one, and has a row for each example of the batch."""
    examples, rows = parts[name].shape
    return name == list(parts)[-1] and examples <= rows


def given_away(parts: Tensor, dominance: float) -> float:
    """Return the share of examples that have nearly all of some row's gradients.

    Args:
        parts: gradient of each row by each example ``(examples, rows)``.
        dominance: part of the sum of absolute values.
    """
    sizes = parts.double().abs()
    totals = sizes.sum(0)
    alone = (sizes >= dominance * totals) & (totals > 0)
    return float(alone.any(1).double().mean())
