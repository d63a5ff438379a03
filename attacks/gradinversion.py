"""GradInversion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.batch_norm import STATISTICS, Source, running_statistics
from fedsim.attacks.matching.attack import SignedAdamMatching
from fedsim.attacks.matching.objectives import Objective, SquaredDistance
from fedsim.attacks.matching.priors import L2, Prior, TotalVariation
from fedsim.attacks.types import Observation
from fedsim.core.checked import CodeOnly
from fedsim.core.modules import batch_norms
from fedsim.core.registry import ATTACKS

_FLOOR = 1e-5
"""Variance that is added to each channel's, as in BatchNorm: a channel can be constant."""


@dataclass(frozen=True)
class WithStatistics(Objective):
    """A distance of gradients plus a distance of BatchNorm's input statistics.

    Yin et al., CVPR 2021 (arXiv 2104.07586), equation 9: the distances of the means and of the
    variances of each layer. Here each is relative to the layer's own size, so that one weight suits
    any network: means to the mean square of the layer's inputs, variances to their own square. A
    layer whose inputs have the mean 0 is as good as any other.
    """

    gradients: Objective
    weight: float

    def __call__(self, dummy: Mapping[str, Tensor], shared: Mapping[str, Tensor]) -> Tensor:
        """Return the distance, a scalar >= 0."""
        names = [k for k in shared if k.endswith(STATISTICS)]
        weights = [k for k in shared if k not in names]
        total = self.gradients({k: dummy[k] for k in weights}, {k: shared[k] for k in weights})
        for name in names:
            offset = ((dummy[name] - shared[name]) ** 2).sum()
            total = total + self.weight * offset / _size(name, shared)
        return total


def _size(name: str, shared: Mapping[str, Tensor]) -> Tensor:
    """Return the positive number to which the distance of one layer's statistics is relative."""
    layer, _, end = name.rpartition(".")
    if end == "running_var":
        return ((shared[name] + _FLOOR) ** 2).sum()
    return (shared[name] ** 2 + shared[f"{layer}.running_var"] + _FLOOR).sum()


@ATTACKS.register("gradinversion")
class GradInversion(SignedAdamMatching):
    """GradInversion: batches, with BatchNorm statistics and agreement among the trials.

    Yin, Mallya, Vahdat, Alvarez, Kautz, Molchanov, CVPR 2021 (arXiv 2104.07586): labels are
    inferred first (section 3.2), then the squared distance of the gradients is minimised together
    with total variation, the L2 norm, the statistics of each BatchNorm layer's input (section 3.3)
    and the distance of each trial from the mean of all trials on the same victim (section 3.4). The
    batch's statistics are used if the observation has them (`attacks.batch_norm` reads them from
    uploaded buffers), otherwise the model's running statistics, once they have averaged a batch:
    both are available only if the clients share them, which is part of the threat model. Without
    either, as without BatchNorm layers, this term is absent: initial values are no target.

    Differences: the mean of the trials is taken without registering the pictures first; there is no
    noise on the updates; and the optimiser's step size falls like that of Inverting Gradients.
    """

    trials: Annotated[
        int, Field(ge=1, description="random starts per victim; the lowest objective wins")
    ] = 4
    signed: Annotated[bool, Field(description="use only the sign of the gradient")] = False
    step_size: Annotated[float, Field(gt=0, description="first step size of Adam")] = 0.1
    total_variation: Annotated[
        float, Field(ge=0, description="weight of the total variation of the dummies")
    ] = 1e-4
    l2: Annotated[float, Field(ge=0, description="weight of the L2 norm of the dummies")] = 1e-6
    statistics: Annotated[float, Field(ge=0, description="weight of the BatchNorm statistics")] = (
        0.1
    )
    consistency: Annotated[
        float, Field(ge=0, description="weight of the distance from the mean of the trials")
    ] = 1e-3
    objective: CodeOnly[Objective] = SquaredDistance()

    def distance(self) -> Objective:
        """Return the distance of the gradients plus that of the statistics."""
        return WithStatistics(self.objective, self.statistics)

    def regularisers(self, model: nn.Module) -> tuple[Prior, ...]:
        """Return total variation and the L2 norm, in addition to other priors."""
        return (*self.priors, TotalVariation(self.total_variation), L2(self.l2))

    def shared(self, model: nn.Module, observation: Observation) -> Mapping[str, Tensor]:
        """Return the gradient and the statistics that the adversary knows."""
        gradient = super().shared(model, observation)
        known = _known(model, observation)
        return {**gradient, **(known or {})}

    def statistics_source(self, model: nn.Module, observation: Observation) -> Source | None:
        """Return the source of the statistics that this attack compares with."""
        if not batch_norms(model):
            return None
        if observation.statistics is not None:
            return "uploaded"
        return "none" if _known(model, observation) is None else "running"

    def couple(self, data: Tensor, victims: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the distance from the mean of the victim's trials."""
        if self.consistency == 0 or self.trials == 1:
            return None
        _, group = torch.unique(victims, return_inverse=True)
        ones = torch.ones_like(data[:, 0])
        count = data.new_zeros(int(group.max()) + 1).index_add(0, group, ones)
        total = data.new_zeros((len(count), data.shape[1])).index_add(0, group, data)
        offset = data - (total / count[:, None])[group]
        return self.consistency * (offset**2).sum(1), 2 * self.consistency * offset

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return self.known_or_inferred(model, observation)


def _known(model: nn.Module, observation: Observation) -> Mapping[str, Tensor] | None:
    """Return the batch's statistics, otherwise the running ones, otherwise None."""
    if observation.statistics is not None:
        return observation.statistics
    steps = observation.training is not None  # each of which has statistics of its own
    return None if steps else running_statistics(model)
