from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.core.errors import DataError
from fedsim.data import draw_batch

INDICES = np.arange(100, 120)


def draw(**changes: int) -> np.ndarray:
    arguments = {"seed": 1, "server_round": 2, "partition": 3} | changes
    return draw_batch(INDICES, 4, **arguments)


def test_a_pure_function_of_its_arguments() -> None:
    np.random.seed(0)  # noqa: NPY002 - to show that it changes nothing
    torch.manual_seed(0)
    first = draw()
    np.random.seed(1)  # noqa: NPY002 - to show that it changes nothing
    np.testing.assert_array_equal(first, draw())
    assert first.shape == (1, 4)
    assert first.dtype == np.int64


@pytest.mark.parametrize("changed", ["seed", "server_round", "partition"])
def test_each_of_them_matters(changed: str) -> None:
    assert not np.array_equal(draw(), draw(**{changed: 7}))


def test_a_number_is_a_number_however_it_is_written() -> None:
    np.testing.assert_array_equal(draw(), draw(server_round=np.int64(2), partition=np.int32(3)))


def test_more_steps_begin_with_the_same_batches() -> None:
    np.testing.assert_array_equal(draw(local_steps=9)[:2], draw(local_steps=2))


@settings(deadline=None)
@given(size=st.integers(1, 30), batch=st.integers(1, 30), steps=st.integers(1, 20))
def test_passes_over_the_partition_are_proper(size: int, batch: int, steps: int) -> None:
    batch = min(batch, size)
    indices = np.arange(size) * 3
    drawn = draw_batch(indices, batch, seed=0, server_round=1, partition=0, local_steps=steps)
    assert drawn.shape == (steps, batch)
    assert all(len(set(row)) == batch for row in drawn.tolist())
    for end in range(batch, steps * batch + 1, batch):
        counts = Counter(drawn.ravel()[:end].tolist())
        uses = [counts[index] for index in indices.tolist()]
        assert max(uses) - min(uses) <= 1
    assert set(drawn.ravel().tolist()) <= set(indices.tolist())


def test_passes_differ() -> None:
    first, second = draw_batch(INDICES, 20, seed=0, server_round=1, partition=0, local_steps=2)
    assert not np.array_equal(first, second)


def test_too_large_a_batch() -> None:
    with pytest.raises(DataError, match="partition 3 has 20 images, fewer than a batch of 21"):
        draw_batch(INDICES, 21, seed=1, server_round=2, partition=3)


@pytest.mark.parametrize(("batch", "steps"), [(0, 1), (1, 0)])
def test_nothing_to_draw(batch: int, steps: int) -> None:
    with pytest.raises(DataError, match="at least 1"):
        draw_batch(INDICES, batch, seed=1, server_round=2, partition=3, local_steps=steps)
