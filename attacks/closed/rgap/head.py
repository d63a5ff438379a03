"""Inputs of the last layer, from the gradient of that layer alone.

The gradient of a dense layer is the product of what enters it, the features, and of the derivative
of the loss by the logits. Features tell the probabilities, and with the labels these tell the
derivative again: that the two agree are equations enough to take the product apart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.attacks.closed.rgap.equations import Gradient, bias_of, quotient, ratio
from fedsim.attacks.closed.rgap.recursion import Known, Layer

ROUNDS = 3
"""Times that one example's features are computed from the derivative that the last ones give."""
AGREES = 1e-2
"""Relative residual up to which features explain what survives of the last layer's gradient."""
CERTAIN = 0.75
"""Least share of one example's features of which something must have survived."""
APART = 1.5e3
"""Least of a batch's singular values, relative to the largest, in units of the gradient's error.

With less, examples are too alike. Of eight public batches of four clothes those with 8,000 units
and more were computed at 40 to 73 dB, one with 1,750 at 18 to 33 dB, and those with less at 6 to
20 dB (`tests/benchmarks/test_joint.py`).
"""
STARTS = 8
"""Starts of the search for the features of a batch."""
STEPS = 60
"""Steps of that search at most."""
DONE = 1e-14
"""Relative squares at which it ends: what single precision leaves."""


def features_of(
    head: Layer, gradient: Gradient, kept: Gradient, labels: Tensor
) -> tuple[Known, Tensor]:
    """Return the known quantities before the last layer, and whether it tells them, ``(V,)``.

    Args:
        head: the last layer.
        gradient: gradient of the mean cross-entropy of ``B`` examples, by parameter name, in
            float64, each with the victims as its first axis ``(V, ...)``.
        kept: 1 where a coordinate has survived, else 0.
        labels: ``(V, B)``.

    Returns:
        Quantities with the examples of all victims as their first axis ``(V * B, ...)``, and
        ``(V,)``.
    """
    if labels.shape[1] == 1:
        return _of_one(head, gradient, kept, labels[:, 0])
    known, complete = _of_batch(head, gradient, labels)
    whole = kept[f"{head.name}.weight"].flatten(1).all(1) & kept[f"{head.name}.bias"].all(1)
    return known, complete & whole


def _of_one(
    head: Layer, gradient: Gradient, kept: Gradient, labels: Tensor
) -> tuple[Known, Tensor]:
    """Return `features_of` one example, whose gradient may be pruned, and scaled by a factor.

    Magnitudes are pruned last in the row of the label, which has the largest derivative. Features
    of which nothing has survived were small, and count as zero and not as certain.
    """
    weight, outer, seen = _of(head, gradient)
    there, seen_there = kept[f"{head.name}.weight"], kept[f"{head.name}.bias"]
    label = F.one_hot(labels, len(weight)).double()
    features, certain = quotient(outer, seen, there * seen_there[:, :, None])
    for _ in range(ROUNDS):
        delta = torch.softmax(features @ weight.T + bias_of(head.module), 1) - label
        factor = ratio((seen * delta).sum(1), (seen_there * delta**2).sum(1))
        delta = delta * factor[:, None]
        features, certain = quotient(outer, delta, there)
    rest = there * (outer - delta[:, :, None] * features[:, None])
    errors = [_relative(rest, outer), _relative(seen_there * (seen - delta), seen)]
    tells = (torch.stack(errors).amax(0) <= AGREES) & (certain.mean(1) >= CERTAIN)
    return Known(features, delta @ weight, certain), tells


def _of_batch(head: Layer, gradient: Gradient, labels: Tensor) -> tuple[Known, Tensor]:
    """Return `features_of` several examples.

    The rows of the gradient span the same space as the features ``a``, if those are independent and
    their derivatives ``d`` are: ``a = M v`` with an orthonormal basis ``v``. The ``B²`` numbers of
    ``M`` are determined by ``dᵀ M = gradient vᵀ`` and by the bias, whose gradient is the sum of
    ``d``, of which each row is the probabilities of ``a`` less the label, over ``B``. Levenberg and
    Marquardt's steps find them, and the factor of a defense that has scaled the gradient: for
    batches of four from all of 64 starts. We know of no source for this.
    """
    weight, outer, seen = _of(head, gradient)
    count = labels.shape[1]
    _, sizes, basis = torch.linalg.svd(outer, full_matrices=False)
    basis = basis[:, :count]
    label = F.one_hot(labels, len(weight)).double()
    mixing, delta = _Mixing(basis, weight, outer, seen, label, head).solved()
    features = mixing @ basis
    errors = [_relative(outer - delta.mT @ features, outer), _relative(seen - delta.sum(1), seen)]
    error = torch.stack(errors).amax(0).clamp(min=torch.finfo(torch.float32).eps)
    apart = ratio(sizes[:, count - 1], sizes[:, 0]) >= APART * error
    features = features.flatten(0, 1)
    return Known(features, (delta @ weight).flatten(0, 1), torch.ones_like(features)), apart


class _Mixing:
    """Equations for the matrix that makes features of a basis: of victims ``V``, ``S`` starts each.

    The unknowns are the numbers of the matrix and the logarithm of a factor by which a defense may
    have scaled the gradient: ``(V, S, B * B + 1)``.

    Args:
        basis: ``(V, B, I)``.
        weight: of the layer, ``(C, I)``.
        outer: gradient of its weight, ``(V, C, I)``.
        seen: gradient of its bias, ``(V, C)``.
        label: ``(V, B, C)``.
        head: the layer.
    """

    def __init__(
        self,
        basis: Tensor,
        weight: Tensor,
        outer: Tensor,
        seen: Tensor,
        label: Tensor,
        head: Layer,
    ) -> None:
        self._count, self._middle = basis.shape[1], 0.5 * basis.sum(2)
        self._logits, self._bias = (basis @ weight.T)[:, None], bias_of(head.module)
        self._label, self._wanted = label[:, None], (outer @ basis.mT)[:, None]
        self._seen = seen[:, None]
        one = torch.ones_like(seen[:, 0])
        self._size = ratio(one, outer.flatten(1).norm(dim=1))[:, None, None]
        self._bias_size = ratio(one, seen.norm(dim=1))[:, None, None]

    def solved(self) -> tuple[Tensor, Tensor]:
        """Return the matrix ``(V, B, B)`` and the derivatives by the logits ``(V, B, C)``.

        They are those of the best of all starts. These are the same for every victim, drawn around
        the matrix whose features are all a half, the middle of a sigmoid's.
        """
        x = self._starts()
        rest = self._residuals(x)
        size = rest.square().sum(2)
        damping = torch.full_like(size, 1e-2)
        for _ in range(STEPS):
            running = size.amin(1) >= DONE  # others stay as they are, whoever is beside them
            if not bool(running.any()):
                break
            slope = self._jacobian(x)
            normal, right = slope.mT @ slope, -(slope.mT @ rest[..., None])
            scale = normal.diagonal(dim1=2, dim2=3).clamp(min=torch.finfo(x.dtype).tiny)
            damped = normal + torch.diag_embed(damping[..., None] * scale)
            moved = x + torch.linalg.solve_ex(damped, right)[0][..., 0]
            new_rest = self._residuals(moved)
            new = new_rest.square().sum(2)
            better = (new < size) & running[:, None]
            x = torch.where(better[..., None], moved, x)
            rest = torch.where(better[..., None], new_rest, rest)
            size = torch.where(better, new, size)
            damping = torch.where(better, damping / 5, damping * 4).clamp(1e-12, 1e8)
        best = size.argmin(1, keepdim=True)[..., None]
        x = x.gather(1, best.expand(-1, 1, x.shape[2]))
        return self._matrix(x)[:, 0], self._delta(x)[:, 0]

    def _starts(self) -> Tensor:
        """Return the starts, each with the factor that suits its matrix best."""
        n, generator = self._count, torch.Generator().manual_seed(0)
        noise = torch.randn((STARTS, n, n), generator=generator, dtype=torch.float64)
        spread = 0.3 * self._middle.norm(dim=1)[:, None, None, None]
        matrix = self._middle[:, None, None] + spread * noise.to(self._middle)
        x = F.pad(matrix.flatten(2), (0, 1))
        found = self._delta(x).mT @ matrix
        factor = ratio((found * self._wanted).sum((2, 3)), found.square().sum((2, 3)))
        x[..., -1] = factor.clamp(min=1e-6).log()
        return x

    def _matrix(self, x: Tensor) -> Tensor:
        return x[..., :-1].view(*x.shape[:2], self._count, self._count)

    def _probabilities(self, x: Tensor) -> Tensor:
        found: Tensor = torch.softmax(self._matrix(x) @ self._logits + self._bias, 3)
        return found

    def _delta(self, x: Tensor) -> Tensor:
        """Return the derivatives by the logits ``(V, S, B, C)``, of the mean over the batch."""
        delta: Tensor = (self._probabilities(x) - self._label) / self._count
        return delta * x[..., -1:, None].exp()

    def _residuals(self, x: Tensor) -> Tensor:
        """Return the residuals ``(V, S, C * B + C)``, relative to the gradients."""
        delta = self._delta(x)
        of_weight = (delta.mT @ self._matrix(x) - self._wanted).flatten(2) * self._size
        return torch.cat([of_weight, (delta.sum(2) - self._seen) * self._bias_size], 2)

    def _jacobian(self, x: Tensor) -> Tensor:
        """Return the derivatives of the residuals, ``(V, S, C * B + C, B * B + 1)``."""
        p, delta, matrix = self._probabilities(x), self._delta(x), self._matrix(x)
        # Of the derivative (b, c) by the number (b, j) of the same example.
        mean = torch.einsum("vsbd,vsjd->vsbj", p, self._logits.expand(*p.shape[:2], -1, -1))
        by = p[..., None] * (self._logits.mT[:, :, None] - mean[..., None, :]) / self._count
        by = by * x[..., -1:, None, None].exp()
        eye = torch.eye(self._count).to(x)
        of_weight = torch.einsum("vsbcj,vsbk->vsckbj", by, matrix)
        of_weight = of_weight + torch.einsum("vsbc,jk->vsckbj", delta, eye)
        of_weight = of_weight.flatten(4).flatten(2, 3)
        of_weight = torch.cat([of_weight, (delta.mT @ matrix).flatten(2)[..., None]], 3)
        of_bias = torch.cat([by.transpose(2, 3).flatten(3), delta.sum(2)[..., None]], 3)
        return torch.cat(
            [of_weight * self._size[..., None], of_bias * self._bias_size[..., None]], 2
        )


def _of(head: Layer, gradient: Gradient) -> tuple[Tensor, Tensor, Tensor]:
    """Return the last layer's weight, and the gradients of its weight and bias."""
    assert isinstance(head.module, nn.Linear)  # noqa: S101  (`layers_of` checks it)
    weight = head.module.weight.detach().double()
    return weight, gradient[f"{head.name}.weight"], gradient[f"{head.name}.bias"]


def _relative(rest: Tensor, whole: Tensor) -> Tensor:
    """Return the size of residuals, ``(V,)``."""
    return ratio(rest.flatten(1).norm(dim=1), whole.flatten(1).norm(dim=1))
