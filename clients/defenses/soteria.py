"""Soteria: the classification layer's gradient from a pruned representation."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.clients.defenses.base import Batch, Computed, Defense
from fedsim.core.errors import ScenarioError
from fedsim.core.modality import PICTURES
from fedsim.core.modules import last_linear
from fedsim.core.registry import DEFENSES

_AT_ONCE = 64
"""Number of features whose derivatives are computed together."""


@DEFENSES.register("soteria")
class Soteria(Defense):
    """Prune the features that reveal most about the image from the last layer's gradient.

    Source: Sun et al., Provable Defense against Privacy Leakage in Federated Learning from
    Representation Perspective, CVPR 2021 (arXiv 2012.06043), section 4 and algorithm 1, for the
    l0 norm. In the representation r before the last dense layer, the features with the largest
    ``|r_i| / ||d r_i / d x||`` are set to zero for the computation of the layer's weight gradient
    (the outer product of the logits' gradient and r). The forward pass, the loss and all other
    gradients, including the layer's bias, do not change.

    Differences for batches: each example has its own mask, while the authors' code adds the scores
    and prunes the same columns for all examples. A feature that is zero with a derivative of zero
    (behind a ReLU) has no score and is pruned last; the authors' code divides 0 by 0. Derivatives
    are computed for every feature, which costs a backward pass each.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"fraction": 0.0}

    modalities: ClassVar[frozenset[str] | None] = frozenset({PICTURES})

    fraction: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            examples=[0.5],
            description="share of the features that is pruned for each example",
        ),
    ]

    def compute_gradient(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> Computed | None:
        """Return the gradient with the last layer's weight computed from pruned features.

        Reports ``pruned_fraction``, and ``representation_change``, the norm of the pruned
        features relative to the norm of the representation, averaged over the examples.

        Raises:
            ScenarioError: the model has no dense layer that the batch's features pass through.
        """
        if not self.fraction:
            return None
        name, layer = _last_dense(model)
        images = batch.inputs.detach().requires_grad_()
        logits, features, outputs = _forward(model, layer, images)
        loss = batch.loss(logits, batch.labels)
        trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
        *found, errors = torch.autograd.grad(loss, [*trained.values(), outputs], retain_graph=True)
        gradients = dict(zip(trained, found, strict=True))
        # As a decimal, since 0.29 * 100 in binary is below 29.
        count = int(Decimal(repr(float(self.fraction))) * features.shape[1])
        mask = _mask(features, images, count)
        r = features.detach()
        key = f"{name}.weight" if name else "weight"
        if count and key in gradients:
            gradients[key] = errors.T @ (mask * r)
        change = ((1 - mask) * r).norm(dim=1) / r.norm(dim=1).clamp(min=torch.finfo(r.dtype).tiny)
        return Computed(
            gradients,
            float(loss.detach()),
            did={
                "pruned_fraction": float((1 - mask).mean()),
                "representation_change": float(change.mean()),
            },
        )


def _last_dense(model: nn.Module) -> tuple[str, nn.Linear]:
    found = last_linear(model)
    if found is None:
        raise ScenarioError(
            "soteria: the model has no dense layer with a representation to prune; use a "
            "model that ends in one, or another defense"
        )
    return found


def _forward(model: nn.Module, layer: nn.Linear, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits, the layer's input ``(N, D)`` and its output."""
    seen: list[tuple[Tensor, Tensor]] = []
    hook = layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    try:
        logits = model(images)
    finally:
        hook.remove()
    if len(seen) != 1 or seen[0][0].ndim != 2:
        raise ScenarioError(
            "soteria: the model's last dense layer is not used exactly once with features "
            "(N, D); use a model that classifies images by one, or another defense"
        )
    return logits, *seen[0]


def _mask(features: Tensor, images: Tensor, count: int) -> Tensor:
    """Return a mask ``(N, D)``: 0 for features of an example to prune, else 1."""
    sizes = _derivative_norms(features, images)
    scores = features.detach().abs() / sizes
    scores = scores.nan_to_num(nan=0.0, posinf=torch.inf)
    largest = scores.sort(dim=1, descending=True, stable=True).indices[:, :count]
    return torch.ones_like(scores).scatter(1, largest, 0.0)


def _derivative_norms(features: Tensor, images: Tensor) -> Tensor:
    """Return the norms of the features' derivatives by their example's pixels, ``(N, D)``."""
    if not features.requires_grad or features.grad_fn is None:
        return torch.ones_like(features)
    norms = []
    unit = torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    for rows in torch.split(unit, _AT_ONCE):
        wanted = rows[:, None].expand(-1, len(features), -1)
        [slopes] = torch.autograd.grad(
            features, images, wanted, retain_graph=True, is_grads_batched=True
        )
        norms.append(slopes.flatten(2).norm(dim=2))
    return torch.cat(norms).T
