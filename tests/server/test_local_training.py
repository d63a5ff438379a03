"""The training behind a sum of clients with unequal data."""

import pytest

from fedsim.server.local_training import of_unequal, training_of
from tests.fedsim.small import small


def epochs(number: int = 1, size: int = 2) -> object:
    return f"federation={{upload='update', local_epochs={number}, batch_size={size}}}"


@pytest.mark.parametrize(
    ("examples", "size", "mean"),
    [
        ([4, 4, 4], 2, 2.0),  # equal clients: as many steps as one client with the examples of all
        ([5, 1, 3], 5, 1.0),  # one step each
        ([6, 1, 1], 2, (6 * 3 + 1 + 1) / 8),  # the weighted mean of 3, 1 and 1 steps
    ],
)
def test_its_steps_are_the_weighted_mean(examples: list[int], size: int, mean: float) -> None:
    federation = small(str(epochs(size=size))).federation
    one = training_of(federation, 0.5, sum(examples), len(examples))
    found = of_unequal(one, federation, examples)
    assert found.learning_rate * found.steps == pytest.approx(0.5 * mean)
    assert (found == one) is (mean == one.steps)


def test_fixed_steps_are_left_alone() -> None:
    federation = small("federation={upload='update', local_steps=3}").federation
    one = training_of(federation, 0.5, 9, 3)
    assert of_unequal(one, federation, [5, 1, 3]) is one


def test_a_schedule_has_a_factor_for_each_step_of_the_sum() -> None:
    schedule = "{name='cosine', over='steps'}"
    table = f"{{upload='update', local_epochs=2, batch_size=2, schedule={schedule}}}"
    one = training_of(small(f"federation={table}").federation, 0.5, 12, 3)
    assert one.factors is not None
    assert len(one.factors) == one.steps == 4
