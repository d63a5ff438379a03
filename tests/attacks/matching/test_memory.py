"""How many lanes a budget of memory holds."""

import copy

import pytest
import torch
from torch import nn

from fedsim.attacks.matching.memory import CPU_SHARE_BYTES, free_bytes, lanes_that_fit
from fedsim.attacks.matching.optimisers import LBFGS
from fedsim.attacks.matching.optimisers.base import anywhere
from fedsim.attacks.matching.optimisers.lbfgs import _LBFGSLanes
from fedsim.models import LeNet


def lanes(memory_gb: float, *, batch_size: int = 1, history: int = 100) -> int:
    model = LeNet().build((1, 28, 28), 10, seed=0)
    shape = (batch_size, 1, 28, 28)
    unknowns = batch_size * 784
    return lanes_that_fit(
        model, shape, points=unknowns * LBFGS(history).copies, memory_gb=memory_gb
    )


def test_one_at_least() -> None:
    assert lanes(1e-12) == 1


def test_proportional_to_the_memory() -> None:
    assert lanes(2.0) == pytest.approx(20 * lanes(0.1), rel=0.02)
    assert lanes(1.0) > 100


def test_a_longer_history_and_a_larger_batch_take_room() -> None:
    assert lanes(1.0, history=200) < lanes(1.0) < lanes(1.0, history=50)
    assert lanes(1.0, batch_size=4) < lanes(1.0, batch_size=2) < lanes(1.0)


def test_history_dominates_as_counted() -> None:
    """Twice 2 x 1,000 vectors of 784 float32 are 12.5 MB a lane, and little comes on top."""
    assert lanes(1.0, history=1000) == pytest.approx(1e9 / (4 * 4 * 1000 * 784), rel=0.1)


@pytest.mark.parametrize(("size", "pairs"), [(784, 100), (2**18, 100), (2**22, 10), (2**40, 10)])
def test_many_unknowns_have_fewer_curvature_pairs(size: int, pairs: int) -> None:
    """A batch of 1,598 colour pictures of 32 x 32 took 4 GB for them, and twice that at times."""
    state = LBFGS().lanes(torch.zeros(0, device="meta"), size, 1000, anywhere)
    assert isinstance(state, _LBFGSLanes)
    assert state._pairs.s.shape == (0, pairs, size)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_model_is_left_alone(training: bool) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2).eval(), nn.Flatten())
    model.training = training
    modes = [m.training for m in model.modules()]
    before = copy.deepcopy(model.state_dict())
    lanes_that_fit(model, (1, 1, 6, 6), points=36 * 24, memory_gb=1.0)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_free_memory_of_a_cpu_is_shared() -> None:
    assert 0 < free_bytes(torch.device("cpu")) <= CPU_SHARE_BYTES
    model = LeNet().build((1, 28, 28), 10, seed=0)
    assert lanes_that_fit(model, (1, 1, 28, 28), points=784) > 100


def test_gradients_of_steps_and_of_examples_take_room() -> None:
    model = LeNet().build((1, 28, 28), 10, seed=0)
    one, four = (
        lanes_that_fit(model, (4, 1, 28, 28), points=4 * 784, gradients=count, memory_gb=1.0)
        for count in (1, 4)
    )
    assert four < one
