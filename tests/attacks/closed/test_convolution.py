"""The input of a convolution against a dense least-squares solution, and its transpose."""

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks.closed.rgap.convolution import Convolution, invert_conv

pytestmark = pytest.mark.numeric

SHAPES = [
    # entering, outputs, kernel, stride, padding
    ((2, 6, 6), 4, 3, 1, 1),
    ((1, 7, 5), 6, 3, 2, 1),
    ((3, 8, 8), 12, 5, 2, 2),
    ((2, 6, 8), 12, 3, 2, 1),
    ((1, 8, 8), 8, (3, 5), (1, 2), (1, 2)),
]


def problem(case: tuple, seed: int = 0) -> tuple[nn.Conv2d, Tensor, Tensor, Tensor, Tensor]:  # type: ignore[type-arg]
    """Return a convolution, what enters, what leaves, a derivative and the weights' gradient."""
    entering, outputs, kernel, stride, padding = case
    generator = torch.Generator().manual_seed(seed)
    conv = nn.Conv2d(entering[0], outputs, kernel, stride, padding).double()
    for parameter in conv.parameters():
        parameter.data = torch.rand(parameter.shape, generator=generator).double() - 0.5
    u = torch.rand((3, *entering), generator=generator).double()
    z = conv(u).detach()
    delta = torch.randn(z.shape, generator=generator).double()
    gradients = []
    for v in range(3):
        (conv(u[v : v + 1]) * delta[v]).sum().backward()
        assert conv.weight.grad is not None
        gradients.append(conv.weight.grad.clone())
        conv.zero_grad()
    return conv, u, z, delta, torch.stack(gradients)


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_what_entered_is_found(case: tuple) -> None:  # type: ignore[type-arg]
    conv, u, z, delta, gradient = problem(case)
    found = invert_conv(conv, z, torch.ones_like(z), delta, gradient, case[0])
    torch.testing.assert_close(found, u, rtol=0, atol=1e-3)


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_transpose(case: tuple) -> None:  # type: ignore[type-arg]
    """<conv(u), r> = <u, pull(r)> for the convolution without its bias."""
    conv, u, z, _, _ = problem(case)
    convolution = Convolution(conv, case[0])
    r = torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).double()
    pushed = convolution.push(u.flatten(2))
    assert conv.bias is not None
    torch.testing.assert_close(pushed, z - conv.bias.detach()[:, None, None])
    torch.testing.assert_close((pushed * r).sum(), (u.flatten(2) * convolution.pull(r)).sum())


def test_uncertain_outputs_are_not_believed() -> None:
    """Some outputs are wrong; marked so, they cost a hundredth of the error and less."""
    case = SHAPES[2]
    conv, u, z, delta, gradient = problem(case)
    certain = (torch.rand(z.shape, generator=torch.Generator().manual_seed(2)) > 0.3).double()
    wrong = torch.where(certain > 0, z, 10.0)
    found = invert_conv(conv, wrong, certain, delta, gradient, case[0])
    believed = invert_conv(conv, wrong, torch.ones_like(z), delta, gradient, case[0])
    assert (believed - u).norm() > 100 * (found - u).norm()


@pytest.mark.parametrize("nothing", [0.0, 1e-30])
def test_without_information_it_is_finite(nothing: float) -> None:
    conv, _, z, delta, gradient = problem(SHAPES[0])
    found = invert_conv(
        conv, nothing * z, torch.zeros_like(z), nothing * delta, nothing * gradient, SHAPES[0][0]
    )
    assert torch.isfinite(found).all()
