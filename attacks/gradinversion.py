"""GradInversion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.matching.attack import SignedAdamMatching
from fedsim.attacks.matching.objectives import Objective, SquaredDistance
from fedsim.attacks.matching.priors import L2, Prior, TotalVariation
from fedsim.attacks.types import Observation
from fedsim.core.checked import CodeOnly
from fedsim.core.registry import ATTACKS

_STATISTICS = (".running_mean", ".running_var")


@dataclass(frozen=True)
class WithStatistics(Objective):
    """A distance of gradients plus a distance of BatchNorm's input statistics.

    Yin et al., CVPR 2021 (arXiv 2104.07586), equation 9: the distances of the means and of the
    variances of each layer. Here the sum over all layers is relative to the shared
    statistics, so that one weight suits any network.
    """

    gradients: Objective
    weight: float

    def __call__(self, dummy: Mapping[str, Tensor], shared: Mapping[str, Tensor]) -> Tensor:
        """Return the distance, a scalar >= 0."""
        names = [k for k in shared if k.endswith(_STATISTICS)]
        weights = [k for k in shared if k not in names]
        total = self.gradients({k: dummy[k] for k in weights}, {k: shared[k] for k in weights})
        for name in names:
            size = (shared[name] ** 2).sum() + torch.finfo(total.dtype).tiny
            total = total + self.weight * ((dummy[name] - shared[name]) ** 2).sum() / size
        return total


@ATTACKS.register("gradinversion")
class GradInversion(SignedAdamMatching):
    """GradInversion: batches, with BatchNorm statistics and agreement among the trials.

    Yin, Mallya, Vahdat, Alvarez, Kautz, Molchanov, CVPR 2021 (arXiv 2104.07586): labels are
    inferred first (section 3.2), then the squared distance of the gradients is minimised together
    with total variation, the L2 norm, the statistics of each BatchNorm layer's input (section 3.3)
    and the distance of each trial from the mean of all trials on the same victim (section 3.4). The
    batch's statistics are used if the observation has them, otherwise the model's running
    statistics: both are available only if the clients share them, which is part of the threat
    model. Without BatchNorm layers this term is absent.

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
        known = observation.statistics
        if known is None:
            known = {k: b for k, b in model.named_buffers() if k.endswith(_STATISTICS)}
        return {**gradient, **known}

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
        return known_or_inferred(model, observation)
