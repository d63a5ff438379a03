"""Automatic transformation search: image transformations that hinder gradient matching."""

import copy
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from pydantic import Field
from torch import Tensor, nn

from fedsim.clients.defenses.base import Batch, Defense, Private
from fedsim.core.modality import PICTURES
from fedsim.core.registry import DEFENSES

Transformation = Callable[[Tensor], Tensor]
Pair = tuple[float, float]

_LENGTH = 3
"""Number of transformations in a policy, as in the paper."""

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
            chosen = torch.randint(len(transformations), (_LENGTH,), generator=generator)
            images = batch.inputs
            for index in chosen.tolist():
                images = transformations[index](images).clamp(0, 1)
            score = privacy_score(model, Batch(images, batch.labels), start.to(images))
            if best is None or score < best[0]:
                best = score, images
        assert best is not None  # noqa: S101  (there is at least one candidate)
        return Batch(best[1], batch.labels, {"privacy_score": best[0]})


def library() -> Mapping[str, Transformation]:
    """Return the transformations of images ``(N, C, H, W)`` in [0, 1] by name.

    A subset of the paper's list: those defined for any number of channels, each at a strength that
    keeps the picture recognisable.
    """
    # Imported late: the import takes seconds, and other defenses do not need it.
    from torchvision.transforms.v2 import functional as V  # noqa: N812, PLC0415

    def affine(
        x: Tensor, angle: float = 0, across: float = 0, down: float = 0, shear: Pair = (0, 0)
    ) -> Tensor:
        shift = [round(across * x.shape[-1]), round(down * x.shape[-2])]
        moved: Tensor = V.affine(x, angle=angle, translate=shift, scale=1.0, shear=list(shear))
        return moved

    return {
        "translate right": lambda x: affine(x, across=0.2),
        "translate left": lambda x: affine(x, across=-0.2),
        "translate down": lambda x: affine(x, down=0.2),
        "translate up": lambda x: affine(x, down=-0.2),
        "rotate left": lambda x: affine(x, angle=-20),
        "rotate right": lambda x: affine(x, angle=20),
        "shear across": lambda x: affine(x, shear=(15, 0)),
        "shear down": lambda x: affine(x, shear=(0, 15)),
        "less contrast": lambda x: V.adjust_contrast(x, 0.5),
        "more contrast": lambda x: V.adjust_contrast(x, 1.6),
        "darker": lambda x: V.adjust_brightness(x, 0.6),
        "brighter": lambda x: V.adjust_brightness(x, 1.5),
        "sharper": lambda x: V.adjust_sharpness(x, 2.0),
        "solarise": lambda x: V.solarize(x, 0.7),
        "posterise": lambda x: torch.floor(x * 7 + 0.5) / 7,
        "invert": lambda x: 1 - x,
    }


def privacy_score(model: nn.Module, batch: Batch, start: Tensor) -> float:
    """Return the similarity of a batch's gradient and those on the path to it, in [-1, 1].

    Args:
        model: the model in the client's mode; its buffers may change.
        batch: the transformed images, and their labels.
        start: images with the batch's shape, where the path begins.
    """
    goal = _gradient(model, batch.inputs, batch.labels)
    scores = []
    for step in range(_POINTS + 1):
        here = torch.lerp(start, batch.inputs, step / _POINTS)
        found = _gradient(model, here, batch.labels)
        alike = [
            F.cosine_similarity(g.flatten(), h.flatten(), dim=0)
            for g, h in zip(goal, found, strict=True)
        ]
        scores.append(torch.stack(alike).mean())
    return float(torch.trapezoid(torch.stack(scores)) / _POINTS)


def _gradient(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    loss = F.cross_entropy(model(images), labels)
    return torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
