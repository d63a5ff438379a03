"""Rules on a client's local steps that attacks and reports have in common."""

from __future__ import annotations


def reuses(uses: int, examples: int, batch_size: int) -> bool:
    """Return whether steps use examples again in an order that no adversary knows.

    Steps that use all examples have none.

    Args:
        uses: examples of all steps together, with repetitions.
        examples: number of different examples.
        batch_size: examples in each step.
    """
    return uses > examples > batch_size


def worth_unrolling(steps: int, reused: bool, most: int) -> bool:
    """Return whether to unroll a local training and not to match a surrogate model.

    Args:
        steps: number of local steps.
        reused: whether examples are used again in an unknown order.
        most: largest number of steps to unroll.
    """
    return not reused and steps <= most
