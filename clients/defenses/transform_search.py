"""Automatic transformation search: image transformations that hinder gradient matching."""

import copy
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from pydantic import Field
from torch import Tensor, nn

from fedsim.clients.defenses.base import Batch, Defense, Private
from fedsim.core.modality import PICTURES
from fedsim.core.registry import DEFENSES
from fedsim.core.transformations import POLICY_LENGTH, library

_POINTS = 10
"""Number of intervals of the path over which the score is averaged."""


@DEFENSES.register("transform-search")
class TransformSearch(Defense):
    """Train on transformed images, with the policy that hides them best (ATS).

    Source: Gao et al., Privacy-preserving Collaborative Learning with Automatic Transformation
    Search, CVPR 2021 (arXiv 2011.12505), and the authors' code
    (https://github.com/gaow0007/ATSPrivacy). A policy is a sequence of three transformations.
    Its privacy score is the similarity (cosine, averaged over layers) of the gradients of the
    transformed image and of points on the straight path to it from a random image: if they are not
    similar, an attacker who follows them fails. The policy with the lowest score is used.

    Differences: the paper scores 1,600 policies once, with a slightly trained model, and drops
    those with a bad score for accuracy. Here a client scores a few random policies in each step, on
    its batch and the global model; there is no score for accuracy, so the transformations are mild.
    The path has 10 intervals instead of 20.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({PICTURES})

    candidates: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            examples=[2],
            description="number of random policies scored in each step, at the cost of "
            "11 gradients each; 1 uses a random policy",
        ),
    ]

    def protect_batch(self, batch: Batch, private: Private, generator: torch.Generator) -> Batch:
        """Transform; reports ``privacy_score``, the score of the chosen policy."""
        transformations = list(library().values())
        start = torch.rand(batch.inputs.shape, generator=generator, device=generator.device)
        model = copy.deepcopy(private.model)  # a forward pass may change its buffers
        best: tuple[float, Tensor] | None = None
        for _ in range(self.candidates):
            chosen = torch.randint(len(transformations), (POLICY_LENGTH,), generator=generator)
            images = batch.inputs
            for index in chosen.tolist():
                images = transformations[index](images).clamp(0, 1)
            score = privacy_score(model, replace(batch, inputs=images), start.to(images))
            if best is None or score < best[0]:
                best = score, images
        assert best is not None  # noqa: S101  (there is at least one candidate)
        return Batch(best[1], batch.labels, {"privacy_score": best[0]})


def privacy_score(model: nn.Module, batch: Batch, start: Tensor) -> float:
    """Return the similarity of a batch's gradient and those on the path to it, in [-1, 1].

    Args:
        model: the model in the client's mode; its buffers may change.
        batch: the transformed images, and their labels.
        start: images with the batch's shape, where the path begins.
    """
    goal = _gradient(model, batch, batch.inputs)
    scores = []
    for step in range(_POINTS + 1):
        here = torch.lerp(start, batch.inputs, step / _POINTS)
        found = _gradient(model, batch, here)
        alike = [
            F.cosine_similarity(g.flatten(), h.flatten(), dim=0)
            for g, h in zip(goal, found, strict=True)
        ]
        scores.append(torch.stack(alike).mean())
    return float(torch.trapezoid(torch.stack(scores)) / _POINTS)


def _gradient(model: nn.Module, batch: Batch, images: Tensor) -> tuple[Tensor, ...]:
    loss = batch.loss(model(images), batch.labels)
    return torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
