"""The benchmark's clock: what it counts, and that a peer's copy of the model is watched too."""

import copy

import pytest
import torch
from torch import nn

from fedsim.attacks import Progress
from tests.benchmarks.watch import Reached, Watch

TRUTHS = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])


def progress(victims: list[int], values: list[float]) -> Progress:
    data = torch.tensor(values).view(-1, 1, 1, 1, 1).expand(-1, 1, 1, 2, 2)
    return Progress(torch.tensor(victims), 1, 9, torch.ones(len(victims)), lambda: data)


def test_each_victim_counts_when_one_of_its_lanes_is_there() -> None:
    watch = Watch(TRUTHS, "cpu", stops=True)
    watch.on_progress(progress([0, 0, 1], [0.5, 0.001, 0.5]))
    assert set(watch.reached) == {0}
    assert not watch.should_stop()
    assert watch.until_all(ended=7.0) == 7.0  # one never was there
    first = watch.reached[0]
    watch.on_progress(progress([0, 1], [0.5, 2.0]))  # clamped to 1
    assert watch.reached[0] == first
    assert watch.should_stop()
    assert watch.until_all(ended=1e9) == watch.reached[1]


def test_an_attack_as_shipped_is_not_stopped() -> None:
    watch = Watch(TRUTHS, "cpu")
    watch.on_progress(progress([0, 1], [0.0, 1.0]))
    assert len(watch.reached) == 2
    assert not watch.should_stop()


def test_not_finite_is_not_reached() -> None:
    watch = Watch(TRUTHS[1:], "cpu")
    watch.look([0], torch.full((1, 1, 2, 2), float("nan")), 0.0)
    assert not watch.reached


def test_a_peer_is_stopped_in_its_copy_of_the_model() -> None:
    model, watch = nn.Flatten(), Watch(TRUTHS[:1], "cpu", stops=True)
    handle = watch.on_inputs(model)
    its_own = copy.deepcopy(model)
    its_own(torch.ones(1, 1, 2, 2))
    with pytest.raises(Reached):
        its_own(torch.zeros(1, 1, 2, 2))
    assert set(watch.reached) == {0}
    handle.remove()
    model(torch.zeros(1, 1, 2, 2))
