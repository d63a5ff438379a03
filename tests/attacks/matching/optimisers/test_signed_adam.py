"""Adam on the sign: parity with PyTorch's Adam, the schedule, the box."""

import pytest
import torch
from torch import Tensor

from fedsim.attacks.matching.optimisers import SignedAdam
from fedsim.attacks.matching.optimisers.signed_adam import DROPS
from fedsim.attacks.types import Status
from tests.attacks.matching.optimisers.lanes import evaluator, minimise, rosenbrock, starts

pytestmark = pytest.mark.numeric

BUDGET = 40


@pytest.mark.parametrize("signed", [True, False])
def test_parity_with_pytorch(signed: bool) -> None:
    """The same points as ``torch.optim.Adam`` with ``MultiStepLR`` on the same gradients."""
    start, seen = starts(1, 6), []

    def remember(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(points[0].clone())
        return evaluator(rosenbrock)(points, lanes)

    minimise(
        remember, start, max_evaluations=BUDGET, optimiser=SignedAdam(step_size=0.05, signed=signed)
    )
    theirs = start[0].clone().requires_grad_()
    adam = torch.optim.Adam([theirs], lr=0.05)
    schedule = torch.optim.lr_scheduler.MultiStepLR(adam, [int(d * BUDGET) for d in DROPS], 0.1)
    for ours in seen:
        torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-9)
        [gradient] = torch.autograd.grad(rosenbrock(theirs[None]).sum(), theirs)
        theirs.grad = gradient.sign() if signed else gradient
        adam.step()
        schedule.step()


def test_stays_in_the_box() -> None:
    """From outside it is put inside at once; the best point is the corner nearest the minimum."""

    def far_minimum(points: Tensor) -> Tensor:
        return ((points - torch.tensor([2.0, -1.0])) ** 2).sum(1)

    seen: list[Tensor] = []

    def remember(points: Tensor, lanes: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(points.clone())
        return evaluator(far_minimum)(points, lanes)

    found = minimise(
        remember, 3 * starts(4, 2), max_evaluations=100, optimiser=SignedAdam(),
        project=lambda points: points.clamp(0, 1),
    )  # fmt: skip
    assert all(((points >= 0) & (points <= 1)).all() for points in seen)
    torch.testing.assert_close(found.points, torch.tensor([[1.0, 0.0]]).double().expand(4, 2))


def test_the_best_point_is_returned_not_the_last() -> None:
    """A step size this large overshoots the minimum that it starts beside."""
    start = torch.ones(1, 3).double() + 1e-3
    found = minimise(
        evaluator(rosenbrock), start, max_evaluations=3, optimiser=SignedAdam(step_size=0.5)
    )
    assert torch.equal(found.points, start)
    assert found.statuses == [Status.EXHAUSTED]
