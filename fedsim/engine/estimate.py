"""Estimated time of a run's attacks."""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from fedsim.attacks.labels.fitted import EVALUATIONS, LEAST_BUDGET, is_small
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.clients.site import Site
from fedsim.data.types import Dataset

LARGE = 5_000_000
"""Models with at least this many trainable parameters are timed first."""

LARGE_PICTURE = 64 * 64
"""So are models of pictures with at least this many pixels, whatever their parameters."""

SECOND_ORDER = 4.0
"""Cost of evaluating the objective and its gradient, in gradients of the model: a forward and a
backward pass through both."""


def attack_seconds(site: Site, device: torch.device) -> float | None:
    """Estimate the duration of attacks on a large model on a CPU, from the time of one gradient.

    Models of large pictures count as large.

    Args:
        site: the scenario of the run with its data.
        device: device of the attacks.

    Returns:
        Seconds; None on a GPU, for small models, and for attacks without a search.
    """
    plan, federation = site.scenario.adversary, site.scenario.federation
    if plan is None or not isinstance(plan.attack, GradientMatching) or device.type != "cpu":
        return None
    if not _is_large(site):
        return None
    rounds = [r for r in range(1, federation.rounds + 1) if plan.attacks(r)]
    victims = min(len(site.partitions), plan.per_round or len(site.partitions))
    together = max(rounds, default=0) if plan.rounds_together else 0
    attacks = len(rounds) * (1 + victims * (1 + plan.adaptive)) + together * victims
    local_steps = federation.steps_of(max(map(len, site.partitions)))
    steps = plan.attack.evaluations * plan.attack.trials * local_steps
    searched = attacks * steps + len(rounds) * victims * _label_steps(site, plan.attack.evaluations)
    return searched * SECOND_ORDER * _gradient_seconds(site)


def _label_steps(site: Site, evaluations: int) -> int:
    """Return the steps that the search for the labels of local steps unrolls for a client."""
    federation, examples = site.scenario.federation, max(map(len, site.partitions))
    steps, uses = federation.steps_of(examples), federation.uses_of(examples)
    numbers, own = _parameters(site), min(examples, uses)
    fits = is_small(steps, federation.batch_size, uses, own, numbers)
    return EVALUATIONS * steps if fits and evaluations >= LEAST_BUDGET else 0


def _is_large(site: Site) -> bool:
    if (
        isinstance(site.dataset, Dataset)
        and math.prod(site.dataset.image_shape[1:]) >= LARGE_PICTURE
    ):
        return True
    return _parameters(site) >= LARGE


def _parameters(site: Site) -> int:
    """Return the number of trained parameters."""
    return sum(p.numel() for p in site.architecture.parameters() if p.requires_grad)


def _gradient_seconds(site: Site) -> float:
    """Return the time of one batch's gradient, in seconds."""
    size = min(site.scenario.federation.batch_size, len(site.dataset.test))
    inputs, _ = site.dataset.test.batch(np.arange(size))
    model = site.model(site.architecture.state_dict())
    parameters = [p for p in model.parameters() if p.requires_grad]
    seconds = []
    for _ in range(2):  # the first one warms up
        began = time.perf_counter()
        torch.autograd.grad(model(inputs).sum(), parameters)
        seconds.append(time.perf_counter() - began)
    return seconds[-1]
