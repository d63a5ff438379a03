"""Labels of local steps by fitting pictures: wrong labels leave a misfit that no picture removes.

Pictures and label probabilities are fitted to the upload together, as in DLG, with the client's
steps unrolled. The labels that they come to are made whole. These, and those of a quicker search,
are improved by climbing: the changes whose first-order effect on the misfit is best are tried, each
by a short fit, while any of them explains the upload better. No label rule is used, so that it
holds for every optimiser that can be unrolled, momentum and Adam included; which label is in which
step is found too.

Own construction. Geng et al. 2021 (arXiv 2110.09074) and Dimitrov et al. 2022 (arXiv 2206.12395)
estimate counts from probabilities interpolated between the received and the sent weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.fitting import Fit, Fitting
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError
from fedsim.core.modules import draw_size


@dataclass(frozen=True)
class Effort:
    """Work of the search, chosen on clothes.

    Attributes:
        starts: fits with free labels.
        free: evaluations of each.
        given: evaluations of a fit with given labels.
        breadth: changes of labels that are tried in a round.
        rounds: rounds at most.
    """

    starts: int = 3
    free: int = 100
    given: int = 20
    breadth: int = 12
    rounds: int = 6


PATIENCE = 2
"""Rounds in sequence without a better fit before the search ends."""

EVALUATIONS = 700
"""About as many evaluations of one lane take as long as this search."""

LEAST_BUDGET = 300
"""Minimum of evaluations of each trial at which an attack searches for labels in this way."""

MOST_STEPS = 8
"""Largest number of steps: each is a gradient in every evaluation."""

LARGEST = 200_000
"""Largest product of examples and parameters; 100,000 take 10 seconds on a core."""


def labels_by_fitting(
    model: nn.Module,
    observation: Observation,
    first: Tensor | None = None,
    effort: Effort = Effort(),
) -> Tensor:
    """Find the labels of the local steps of one pass by fitting pictures to the upload.

    Args:
        model: the global model, in the client's mode.
        observation: with its ``training``; labels, where known, are taken as a multiset.
        first: candidates ``(candidates, batch_size)`` of a quicker search, the likeliest first.
            For Adam, whose objective hardly tells labels that are free, the search begins with them
            alone.
        effort: work of the search.

    Returns:
        ``(candidates, batch_size)`` by increasing misfit; those of a step in ascending order.

    Raises:
        AttackError: the search is not valid here (see `is_fittable`).
    """
    if not is_fittable(model, observation):
        raise AttackError(
            "labels cannot be found by fitting pictures to this upload: expected one pass of 2 to "
            f"{MOST_STEPS} steps at a known learning rate, on classes, and a small model"
        )
    search = _Search(Fitting(model, observation), observation.labels, effort)
    if first is not None:
        search.add(first, search.fitting.grey(1))
    if first is None or observation.training is None or observation.training.optimiser.is_linear:
        for probabilities, pictures in search.fitting.free(effort.starts, effort.free):
            search.add(search.whole(probabilities)[None], pictures)
    failures = 0
    for _ in range(effort.rounds):
        failures = 0 if search.climb() else failures + 1
        if failures == PATIENCE:
            break
    return search.labels()


def is_fittable(model: nn.Module, observation: Observation) -> bool:
    """Return whether the search is valid, and neither too long nor unneeded.

    It is for one pass over the examples, since later passes have another order; for steps of two
    examples or more, since labels of steps of one are told by `fedsim.attacks.labels.sequences`;
    and for a known learning rate, targets that are classes and a model without draws of its own.
    """
    training, examples = observation.training, observation.batch_size
    if training is None or not training.exact or draw_size(model):
        return False
    if not (observation.is_classification or observation.has_classes):
        return False
    numbers = sum(w.numel() for w in parameters(model).values())
    uses = sum(training.sizes(examples))
    return is_small(training.steps, training.batch_size, uses, examples, numbers)


def is_small(steps: int, batch_size: int, uses: int, examples: int, numbers: int) -> bool:
    """Return whether a local training is one pass that the search does not take too long for.

    Args:
        steps: number of steps.
        batch_size: examples in each.
        uses: examples of all steps together, with repetitions.
        examples: number of different examples.
        numbers: number of trained parameters.
    """
    one_pass = uses == examples and batch_size > 1
    return one_pass and 1 < steps <= MOST_STEPS and examples * numbers <= LARGEST


class _Search:
    """Labels that were fitted, by the labels of each step in ascending order."""

    def __init__(self, fitting: Fitting, known: Tensor | None, effort: Effort) -> None:
        self._effort = effort
        self.fitting, self._known = fitting, None if known is None else known.cpu()
        self._fits: dict[tuple[int, ...], Fit] = {}

    def labels(self) -> Tensor:
        """Return all labels, ``(B, N)``, by increasing misfit."""
        return torch.tensor(sorted(self._fits, key=lambda row: (self._fits[row].misfit, row)))

    def whole(self, probabilities: Tensor) -> Tensor:
        """Return the likeliest labels ``(N,)``, those of the known multiset if there is one."""
        if self._known is None:
            return probabilities.argmax(-1)
        from scipy.optimize import (  # type: ignore[import-untyped]  # noqa: PLC0415
            linear_sum_assignment,
        )

        costs = -probabilities.double().clamp(min=1e-30).log()[:, self._known]
        _, chosen = linear_sum_assignment(costs.numpy())
        return self._known[torch.as_tensor(chosen)]

    def add(self, labels: Tensor, pictures: Tensor) -> list[Fit]:
        """Fit labels ``(B, N)`` from the same pictures, and keep the best fit of each."""
        starts = pictures.expand(len(labels), -1)
        fits = self.fitting.fitted(labels, starts, self._effort.given)
        for fit in fits:
            row = self._row(fit.labels)
            if row not in self._fits or fit.misfit < self._fits[row].misfit:
                self._fits[row] = fit
        return fits

    def climb(self) -> bool:
        """Try the most promising changes of the best labels, and return whether one is better."""
        best = min(self._fits.values(), key=lambda fit: fit.misfit)
        near: dict[tuple[int, ...], Tensor] = {}
        for labels in self._changed(best):
            row = self._row(labels)
            if row not in self._fits and len(near) < self._effort.breadth:
                near.setdefault(row, labels)
        if not near:
            return False
        same, *others = self.add(torch.stack([best.labels, *near.values()]), best.pictures)
        return min(fit.misfit for fit in others) < same.misfit

    def _changed(self, fit: Fit) -> list[Tensor]:
        """Return labels with one other label, or two exchanged, the most promising first."""
        fitting, slopes = self.fitting, self.fitting.slopes(fit)
        found: list[tuple[float, Tensor]] = []
        for i in range(fitting.count):
            for other in range(fitting.classes if self._known is None else 0):
                changed = fit.labels.clone()
                changed[i] = other
                found.append((float(slopes[i, other]), changed))
            for j in range(i):
                if fitting.step_of[i] == fitting.step_of[j]:
                    continue
                changed = fit.labels.clone()
                changed[i], changed[j] = fit.labels[j], fit.labels[i]
                gain = slopes[i, fit.labels[j]] + slopes[j, fit.labels[i]]
                found.append((float(gain), changed))
        return [labels for _, labels in sorted(found, key=lambda pair: pair[0])]

    def _row(self, labels: Tensor) -> tuple[int, ...]:
        return tuple(self.fitting.in_steps(labels).tolist())
