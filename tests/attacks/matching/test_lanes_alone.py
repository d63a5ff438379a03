"""One lane alone is evaluated without vmap, and gives what it gives among others."""

import pytest
import torch

from fedsim.attacks import DLG, IDLG
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.matching.trials import RunningLanes, Trials
from tests.rounding import assert_same
from tests.victims import random_victims

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize(("attack", "joint"), [(IDLG(), False), (DLG(), True)])
def test_as_among_others(attack: IDLG | DLG, *, joint: bool) -> None:
    victims = random_victims((1, 8, 8), count=3, batch_size=2).double()
    observations = dict(enumerate(victims.observations()))
    problem = Problem(attack, victims.model, observations, joint=joint)
    labels = {i: None if joint else y for i, y in enumerate(victims.labels)}
    trials = Trials(problem, labels, seed=0)
    points = torch.stack([trials.start(lane) for lane in range(3)])
    lanes = RunningLanes(problem, trials)
    values, gradients = lanes.evaluate(points, torch.arange(3))
    for lane in range(3):
        value, gradient = lanes.evaluate(points[lane : lane + 1], torch.tensor([lane]))
        assert_same(value, values[lane : lane + 1])
        assert_same(gradient, gradients[lane : lane + 1])
        assert not value.requires_grad
