"""Inversion of a convolution from its output and its weight gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

GRADIENT_WEIGHT = 100.0
"""Weight of the gradient's equations relative to the output's.

The gradient was uploaded; the output was reconstructed from the layers behind, which accumulates
their errors. With weights from 100 to 1,000 the sixteen colour pictures of the benchmark are
reconstructed at 80 to 99 dB, with a weight of 1 at 33 to 68 dB.
"""
RIDGE = 1e-9
TOLERANCE = 1e-12
ITERATIONS = 200


class Convolution:
    """A convolution without its bias in float64, and its transpose.

    Args:
        conv: a convolution with groups and dilation of 1 and zero padding.
        entering: the shape ``(I, H, W)`` of its input.
    """

    def __init__(self, conv: nn.Conv2d, entering: tuple[int, ...]) -> None:
        self.weight = conv.weight.detach().double()
        self._entering = entering
        self._stride = conv.stride
        self._padding = tuple(int(p) for p in conv.padding)
        out = [
            (size + 2 * p - k) // s
            for size, p, k, s in zip(
                entering[1:], self._padding, conv.kernel_size, conv.stride, strict=True
            )
        ]
        # Rows and columns that a stride omits at the end, which the transpose must restore.
        self._over = [
            size - (o * s - 2 * p + k)
            for size, o, s, p, k in zip(
                entering[1:], out, conv.stride, self._padding, conv.kernel_size, strict=True
            )
        ]

    def push(self, u: Tensor) -> Tensor:
        """Return the output ``(V, O, P, Q)`` for an input ``(V, I, H * W)``."""
        image = u.view(len(u), *self._entering)
        return F.conv2d(image, self.weight, stride=self._stride, padding=self._padding)

    def pull(self, r: Tensor) -> Tensor:
        """Return the transpose applied to ``(V, O, P, Q)``, as ``(V, I, H * W)``."""
        image = F.conv_transpose2d(
            r, self.weight, stride=self._stride, padding=self._padding, output_padding=self._over
        )
        return image.flatten(2)


def invert_conv(
    conv: nn.Conv2d,
    output: Tensor,
    certain: Tensor,
    delta: Tensor,
    gradient: Tensor,
    entering: tuple[int, ...],
) -> Tensor:
    """Solve ``conv(u) = output`` and ``correlation(delta, u) = gradient`` by least squares.

    Both equations are linear in ``u`` (R-GAP, section 3.2). The second has the same matrix for each
    input channel, so it is one small matrix per victim; the first is a convolution. Conjugate
    gradients on the normal equations need no other matrix and use the inverse of the second as
    preconditioner, while R-GAP solves one dense system.

    Args:
        conv: a convolution with groups and dilation of 1 and zero padding.
        output: its output, ``(V, O, P, Q)`` in float64.
        certain: 1 where the output is known, else 0, ``(V, O, P, Q)``.
        delta: the loss's derivative by the output, ``(V, O, P, Q)``.
        gradient: the weight's gradient, ``(V, O, I, k, l)``.
        entering: the shape ``(I, H, W)`` of its input.

    Returns:
        ``(V, I, H, W)``, finite.
    """
    channels, height, width = entering
    convolution = Convolution(conv, entering)
    bias = 0.0 if conv.bias is None else conv.bias.detach().double()[:, None, None]
    victims = len(output)

    start = output.new_full((victims, channels, height * width), 0.5)
    wanted = certain * (output - bias)
    scale = 1 / (wanted**2).mean().clamp(min=torch.finfo(wanted.dtype).tiny)
    rows, values = gradient_equations(conv, delta, gradient, entering)
    columns = rows.mT.contiguous()
    reach = float((convolution.weight**2).sum()) / (channels * conv.stride[0] * conv.stride[1])
    typical = scale * reach * certain.mean() + RIDGE * (1 + (rows**2).sum(1).mean())
    ridge = RIDGE * (typical + (rows**2).sum(1).mean())

    def normal(u: Tensor) -> Tensor:
        from_output = scale * convolution.pull(certain * convolution.push(u))
        total: Tensor = from_output + (u @ columns) @ rows + ridge * u
        return total

    right = scale * convolution.pull(wanted) + values @ rows + ridge * start
    found = _conjugate_gradients(normal, _preconditioner(rows, columns, typical), right, start)
    return torch.nan_to_num(found, nan=0.5, posinf=1.0, neginf=0.0).view(victims, *entering)


def gradient_equations(
    conv: nn.Conv2d,
    delta: Tensor,
    gradient: Tensor,
    entering: tuple[int, ...],
    weight: float = GRADIENT_WEIGHT,
) -> tuple[Tensor, Tensor]:
    """Return the rows ``(V * B, m, H * W)`` and the values per channel ``(V, I, m)``, weighted.

    Args:
        conv: see `invert_conv`.
        delta: see `invert_conv`; of ``B`` examples for each gradient, ``(V * B, O, P, Q)``.
        gradient: see `invert_conv`.
        entering: see `invert_conv`.
        weight: of these equations, whose values have a mean square of 1 then.
    """
    examples, outputs, high, wide = delta.shape
    (tall, broad), (down, across) = conv.kernel_size, conv.stride
    top, left = (int(p) for p in conv.padding)
    channels, height, width = entering
    placed = delta.new_zeros(
        (
            examples,
            outputs,
            tall,
            broad,
            height + 2 * top + tall + down,
            width + 2 * left + broad + across,
        )
    )
    for i in range(tall):
        for j in range(broad):
            placed[:, :, i, j, i : i + down * high : down, j : j + across * wide : across] = delta
    rows = placed[..., top : top + height, left : left + width].reshape(
        examples, outputs * tall * broad, height * width
    )
    values = gradient.permute(0, 2, 1, 3, 4).reshape(-1, channels, outputs * tall * broad)
    tiny = torch.finfo(values.dtype).tiny
    factor = (weight / (values**2).mean(dim=(1, 2)).clamp(min=tiny)).sqrt()[:, None, None]
    return rows * factor.repeat_interleave(examples // len(values), 0), values * factor


def _preconditioner(rows: Tensor, columns: Tensor, typical: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the inverse of ``rowsᵀ rows + typical``, applied to ``(V, I, H * W)``."""
    equations, unknowns = rows.shape[1:]
    size = min(equations, unknowns)
    eye = torch.eye(size, dtype=rows.dtype, device=rows.device)
    if equations >= unknowns:
        inverse = _inverse(columns @ rows + typical * eye)
        return lambda r: r @ inverse
    # By Woodbury's identity, the smaller matrix of the two.
    inverse = _inverse(rows @ columns + typical * eye)
    return lambda r: (r - ((r @ columns) @ inverse) @ rows) / typical


def _inverse(matrices: Tensor) -> Tensor:
    """Return the inverses of positive definite matrices ``(V, n, n)``.

    Computed by Cholesky factorisation: the LU factorisation behind ``torch.linalg.inv`` gives wrong
    results for several matrices at once on several threads (PyTorch 2.15 with oneMKL, for 4 or more
    of 256 x 256).
    """
    factors, _ = torch.linalg.cholesky_ex(matrices)
    return torch.cholesky_inverse(factors)


def _conjugate_gradients(
    normal: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    right: Tensor,
    start: Tensor,
) -> Tensor:
    """Solve for all victims together; a victim that has converged no longer changes."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=(1, 2), keepdim=True)

    tiny = torch.finfo(right.dtype).tiny
    x, residual = start, right - normal(start)
    direction = image = precondition(residual)
    size = first = dot(residual, image)
    for _ in range(ITERATIONS):
        running = size > TOLERANCE * first
        if not bool(running.any()):
            break
        along = normal(direction)
        step = torch.where(running, size / dot(direction, along).clamp(min=tiny), 0.0)
        x, residual = x + step * direction, residual - step * along
        image = precondition(residual)
        new = dot(residual, image)
        direction = image + torch.where(running, new / size.clamp(min=tiny), 0.0) * direction
        size = torch.where(running, new, size)
    return x
