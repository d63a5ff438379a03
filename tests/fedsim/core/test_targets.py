"""Measures of targets that are not one class."""

import pytest
import torch

from fedsim.core.targets import WORST, Head, Targets, labels_right
from fedsim.core.tasks import Task

BITS = torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 0]])


def test_rows_of_zeros_and_ones_have_labels_and_others_numbers() -> None:
    assert Targets.of_rows(BITS).task is Task.LABELS
    assert Targets.of_rows(BITS / 2).task is Task.NUMBERS


def test_of_labels_the_sign_of_each_logit_counts() -> None:
    labels = Targets.of_rows(BITS)
    assert labels.quality(2 * BITS - 1) == 1
    assert labels.quality(torch.ones(4, 3)) == 6 / 12
    assert labels.chance() == pytest.approx((1 + 0.5 + 1) / 3)


def test_of_numbers_the_explained_variance_counts() -> None:
    rows = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    numbers = Targets.of_rows(rows)
    assert numbers.quality(rows) == 1
    assert numbers.quality(rows.mean(0).expand(40, 2)) == pytest.approx(0, abs=1e-6)
    noise = torch.randn(40, 2, generator=torch.Generator().manual_seed(1))
    spread = (rows - rows.mean(0)).square().sum()
    assert numbers.quality(rows + noise) == pytest.approx(float(1 - noise.square().sum() / spread))
    assert numbers.chance() == 0
    assert Targets.of_rows(torch.full((3, 1), 0.3)).quality(torch.rand(3, 1)) == 0


def test_of_heads_the_mean_counts() -> None:
    classes = torch.eye(3)[[0, 0, 1, 2]]
    heads = (Head(Task.CLASSIFY, 3), Head(Task.LABELS, 3))
    both = Targets(torch.cat([classes, BITS], dim=1), heads)
    assert both.task is Task.HEADS
    assert both.chance() == pytest.approx((0.5 + 2.5 / 3) / 2)
    assert both.quality(torch.cat([torch.eye(3)[[0] * 4], 2 * BITS - 1], dim=1)) == 0.75


def test_labels_that_an_attack_found() -> None:
    assert labels_right(torch.tensor([0.9, 0.7, -0.1]), BITS[0]) == (2, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_model_that_has_diverged_has_the_worst_quality(value: float) -> None:
    rows = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    assert Targets.of_rows(rows).quality(torch.full((40, 2), value)) == WORST
