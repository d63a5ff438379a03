"""Equality up to rounding: what two ways of computing the same thing must share.

A kernel sums in the order, and fuses products into sums, as suits the processor's vectors, the
batch and the threads. So one formula, computed alone or in a batch, in one chunk or in many, is
bit for bit the same only by luck. Each operation is right to one part in 1 / eps; what follows it
enlarges that error by the condition of the computation: about 10 for a gradient, up to 1e4 for a
second derivative through a deep network or a few steps of L-BFGS.

Such claims are therefore made in double precision (eps = 2.2e-16) and asked for half of the
digits: there is room for a condition of 1 / sqrt(eps) = 7e7, while a mistake (another seed,
a neighbour's data, a lost example) shows in the first digits. `torch.equal` is for results of the
same arithmetic on the same shapes: a copy, a repetition with the same seed.
"""

import torch
from torch import Tensor

HALF_OF_THE_DIGITS = torch.finfo(torch.float64).eps ** 0.5


def assert_same(found: Tensor | None, expected: Tensor | None, *, scale: float = 0.0) -> None:
    """Assert that two tensors in double precision agree in half of their digits.

    Args:
        found: a tensor of float64.
        expected: another.
        scale: size of the numbers that entered, where those of `expected` are differences of
            larger ones; else the largest of `expected` counts.
    """
    assert found is not None
    assert expected is not None
    assert found.dtype == expected.dtype == torch.float64
    size = max(scale, float(expected.detach().abs().max())) if expected.numel() else scale
    torch.testing.assert_close(found, expected, rtol=0, atol=HALF_OF_THE_DIGITS * size)
