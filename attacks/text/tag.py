"""TAG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.labels.infer import infer_labels
from fedsim.attacks.labels.known import require_cross_entropy
from fedsim.attacks.matching.attack import SignedAdamMatching
from fedsim.attacks.matching.objectives import Gradient, Objective
from fedsim.attacks.text.model import text_model
from fedsim.attacks.types import Observation
from fedsim.core.checked import CodeOnly
from fedsim.core.modality import TEXTS
from fedsim.core.registry import ATTACKS
from fedsim.core.tasks import Task


@dataclass(frozen=True)
class LayerWeightedDistance(Objective):
    """Squared distance plus layer-weighted sum of absolute differences.

    Deng et al., TAG, 2021 (arXiv 2103.06819, section 3): layers near the input count more. Here
    the weight falls linearly over the tensors, in the order of the model, from ``weight`` to 0.

    Attributes:
        weight: weight of the absolute differences in the first tensor.
    """

    weight: float

    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        """Return the distance, a scalar >= 0."""
        total = torch.zeros((), dtype=next(iter(shared.values())).dtype)
        total = total.to(next(iter(shared.values())).device)
        for number, name in enumerate(shared):
            difference = dummy[name] - shared[name]
            weight = self.weight * (1 - number / len(shared))
            total = total + difference.square().sum() + weight * difference.abs().sum()
        return total


@ATTACKS.register("tag")
class Tag(SignedAdamMatching):
    """TAG: gradient matching for texts, with a larger weight on early layers.

    Deng, Wang, Li, Wang, Shang, Liu, Rajasekaran, Ding, EMNLP Findings 2021 (arXiv 2103.06819).
    Adam in embedding space from N(0, 1); each token is read as the nearest entry at its own
    position, as published (our DLG reads tokens and positions together). Labels are read off the
    gradient where there is one for each text. Differences: the weights of the layers, see
    `LayerWeightedDistance`; and a trial returns its best point by objective, not its last.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({TEXTS})
    reads_positions: ClassVar[bool] = False

    evaluations: Annotated[
        int, Field(ge=1, description="maximum number of objective evaluations of each trial")
    ] = 1000
    step_size: Annotated[float, Field(gt=0, description="first step size of Adam")] = 0.1
    absolute: Annotated[
        float, Field(ge=0, description="weight of the absolute differences in the first tensor")
    ] = 0.01
    signed: Annotated[bool, Field(description="use only the sign of the gradient")] = False
    start: Annotated[Literal["grey", "normal"], Field(description="first dummy")] = "normal"
    objective: CodeOnly[Objective] = LayerWeightedDistance(0.01)

    def distance(self) -> Objective:
        """Return the squared and weighted absolute differences, unless another objective is set."""
        if isinstance(self.objective, LayerWeightedDistance):
            return LayerWeightedDistance(self.absolute)
        return self.objective

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return labels_of_texts(model, observation)


def labels_of_texts(model: nn.Module, observation: Observation) -> Tensor | None:
    """Return the texts' classes, known or read off; None for tasks whose labels are tokens.

    Raises:
        AttackError: they cannot be read off.
    """
    if observation.labels is not None:
        return observation.labels
    if text_model(model).task is not Task.CLASSIFY:
        return None
    require_cross_entropy(observation)
    return infer_labels(
        model, observation.gradient, observation.input_shape, observation.batch_size
    )
