"""Rules on a client's local steps."""

import pytest

from fedsim.core.local_steps import reuses, worth_unrolling


@pytest.mark.parametrize(
    ("uses", "examples", "batch_size", "reused"),
    [(8, 8, 4, False), (12, 8, 4, True), (16, 8, 4, True), (16, 8, 8, False), (4, 8, 4, False)],
)
def test_examples_used_again(uses: int, examples: int, batch_size: int, reused: bool) -> None:
    assert reuses(uses, examples, batch_size) is reused


@pytest.mark.parametrize(
    ("steps", "reused", "worth"),
    [(2, False, True), (20, False, True), (21, False, False), (2, True, False)],
)
def test_short_trainings_of_a_known_order_are_unrolled(
    steps: int, reused: bool, worth: bool
) -> None:
    assert worth_unrolling(steps, reused, 20) is worth
