"""The public examples of a ladder: those that are attacked, and those that attackers know."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fedsim.core.errors import RunError
from fedsim.engine.audit.examples import Tensors, clothes, picture_shape, resized
from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.ladder.trial import Bench

LEAST = 2
ATTACKED = 256
"""Number of pictures of clothes that can be attacked."""


def bench_of(plan: AuditPlan, *, own: bool) -> Bench:
    """Return model and examples of a ladder.

    The attacked examples are never among those of blind guesses and control: the auditor's public
    examples are divided in halves; instead of the default ones other pictures of clothes are
    attacked.

    Args:
        plan: the setting that is run.
        own: whether the public examples are the auditor's.

    Raises:
        RunError: there are too few examples.
    """
    if not own:
        inputs, targets = _clothes(plan)
        alike = Tensors(plan.public.inputs, plan.public.wanted)
        return Bench(replace(plan, public=alike), inputs, targets)
    count = len(plan.public)
    if count < 2 * LEAST:
        raise RunError(f"public: {count} examples: a ladder needs at least {2 * LEAST}")
    attacked, known = torch.arange(0, count, 2), torch.arange(1, count, 2)
    given = plan.public
    rest = Tensors(given.inputs[known], given.wanted[known])
    return Bench(replace(plan, public=rest), given.inputs[attacked], given.wanted[attacked])


def _clothes(plan: AuditPlan) -> tuple[Tensor, Tensor]:
    """Return pictures of clothes in the shape of the app's, or noise if it takes no pictures."""
    shape = picture_shape(plan.input_shape)
    generator = torch.Generator().manual_seed(1)
    if shape[1] > 1:
        inputs = resized(clothes().train.samples(ATTACKED)[0], shape)
    else:
        inputs = torch.rand((ATTACKED, *shape), generator=generator)
    like = plan.public.wanted
    if like.is_floating_point():
        rows = torch.randint(0, len(like), (len(inputs),), generator=generator)
        return inputs, like[rows]
    return inputs, torch.arange(len(inputs)) % plan.outputs
