"""Fit of the private batch itself, to judge attacks that have ended."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fedsim.attacks.matching.objectives import Gradient, Objective
from fedsim.attacks.types import Observation, TruthFit

MARGIN = 10.0
"""Factor on the measured rounding error of a squared distance, for the client's processor, which
adds numbers in another order."""


def truth_fit(
    relative_objective: float,
    objective: Objective,
    upload: Callable[[torch.dtype], Gradient],
    shared: Gradient,
    model: nn.Module,
    observation: Observation,
) -> TruthFit:
    """Return the fit of a private batch.

    The rounding error is measured: it is the difference of the batch's gradient in single and in
    double precision, scaled to the model's precision, and that of weights whose difference the
    upload is. What it and the objective's own arithmetic change in the objective is left to the
    private batch. An aggregation's coarser rounding explains its upload, and leaves no more to the
    batch than its own objective has.

    Args:
        relative_objective: of the private batch, priors included.
        objective: distance of gradients, without priors.
        upload: function from a precision to the gradient of the private batch in it.
        shared: the tensors that the attack compares with, in its working precision.
        model: the model in the client's precision.
        observation: the victim.
    """
    exact, working = upload(torch.float64), next(iter(shared.values())).dtype
    error = _rounding_error(upload(torch.float32), exact, model, observation)
    seen = {k: s.double() for k, s in shared.items()}
    fit = _relative(objective, exact, seen)

    def change_by(error: Gradient) -> float:
        moved = [_relative(objective, _plus(exact, sign, error), seen) for sign in (1, -1)]
        return MARGIN * max(abs(value - fit) for value in moved)

    left = change_by(error)
    coarse = change_by(_plus(error, 1, _signs(exact, observation.resolution / 2)))
    rounded = {k: g.to(working) for k, g in exact.items()}
    arithmetic = abs(_relative(objective, rounded, shared) - fit)
    # Rounding as large as the upload itself would explain anything.
    allowed = max(left, coarse)
    explained = allowed < 1 and objective.explains(exact, seen, allowed)
    return TruthFit(relative_objective, explained, left + arithmetic)


def _plus(gradient: Gradient, sign: int, error: Gradient) -> dict[str, Tensor]:
    return {k: g + sign * error[k] for k, g in gradient.items()}


def _rounding_error(
    rough: Gradient, exact: Gradient, model: nn.Module, observation: Observation
) -> dict[str, Tensor]:
    """Return the rounding error of an upload of the private batch, by name."""
    weights = dict(model.named_parameters())
    eps = torch.finfo(next(iter(weights.values())).dtype).eps
    error = {k: (rough[k] - g) * (eps / torch.finfo(torch.float32).eps) for k, g in exact.items()}
    if observation.weight_unit is None:
        return error
    signs = _signs(exact, eps / 2 * observation.weight_unit)
    for k in exact:
        if k in weights:
            error[k] = error[k] + signs[k] * weights[k].detach().double().abs()
    return error


def _signs(like: Gradient, size: float) -> dict[str, Tensor]:
    """Return values of one size and random signs, by the names and shapes of a gradient."""
    generator = torch.Generator().manual_seed(0)
    return {
        k: size * (torch.randint(0, 2, g.shape, generator=generator).to(g) * 2 - 1)
        for k, g in like.items()
    }


def _relative(objective: Objective, dummy: Gradient, shared: Gradient) -> float:
    zero = {k: torch.zeros_like(s) for k, s in shared.items()}
    scale = float(objective(zero, shared))
    return float(objective(dummy, shared)) / scale if scale > 0 else 0.0
