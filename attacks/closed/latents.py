"""Pictures from what enters a dense layer behind layers that are no linear map."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.attacks.closed.front import entered_layer
from fedsim.core.errors import AttackError
from fedsim.core.modules import drops, normalises_by_batch

RIDGE = 1e-3
"""Penalty of the regression that begins the search, in units of a public picture's mean square.

Chosen on public pictures that the regression did not have; up to 0.1 the results are alike."""

EVALUATIONS = 200
"""Maximum number of evaluations of the search, for all pictures together."""


@dataclass(frozen=True, eq=False)
class Latents:
    """A dense layer, and the search for the pictures whose input of it is known.

    Attributes:
        layer: name of the dense layer.
        model: the model, without gradients of its weights.
        middle: the picture where the search begins without public pictures ``(C, H, W)``.
        public: public pictures, as the model takes them ``(N, C, H, W)``, or None.
    """

    layer: str
    model: nn.Module
    middle: Tensor
    public: Tensor | None = None

    def pictures(self, entered: Tensor) -> Tensor:
        """Return the pictures ``(N, C, H, W)`` for inputs of the layer ``(N, inputs)``.

        L-BFGS minimises the squared distance of each from its input, in units of the input's size.
        """
        entered = entered.to(self.middle)
        points = self._beginning(entered).requires_grad_()
        sizes = entered.square().sum(1).clamp_min(torch.finfo(entered.dtype).tiny)
        search = torch.optim.LBFGS(
            [points],
            max_iter=EVALUATIONS,
            max_eval=EVALUATIONS,
            history_size=20,
            tolerance_grad=0,
            line_search_fn="strong_wolfe",
        )

        def distance() -> Tensor:
            apart = (self._entering(points) - entered).square().sum(1) / sizes
            total: Tensor = apart.sum()
            (points.grad,) = torch.autograd.grad(total, [points])
            return total.detach()

        search.step(distance)  # type: ignore[no-untyped-call]
        return points.detach().double()

    def _beginning(self, entered: Tensor) -> Tensor:
        """Return a linear regression on public pictures, or else the middle picture."""
        if self.public is None:
            return self.middle.expand(len(entered), *self.middle.shape).clone()
        with torch.no_grad():
            features = self._entering(self.public).double()
        targets = self.public.flatten(1).double()
        mean, mean_target = features.mean(0), targets.mean(0)
        centred = features - mean
        products = centred @ centred.T
        ridge = RIDGE * products.diagonal().mean() * torch.eye(len(products)).to(products)
        weights = torch.linalg.solve(products + ridge, targets - mean_target)
        found: Tensor = (entered.double() - mean) @ centred.T @ weights + mean_target
        return found.to(entered).view(-1, *self.middle.shape)

    def _entering(self, pictures: Tensor) -> Tensor:
        """Return the inputs of the layer, with gradients for the pictures."""
        seen: list[Tensor] = []

        def keep(module: nn.Module, given: tuple[Any, ...]) -> None:
            seen.append(given[0].flatten(1))

        handle = self.model.get_submodule(self.layer).register_forward_pre_hook(keep)
        try:
            self.model(pictures)
        finally:
            handle.remove()
        return seen[0]


def latents_of(model: nn.Module, low: Tensor, high: Tensor, public: Tensor | None) -> Latents:
    """Return the first dense layer and the search for what enters it.

    Args:
        model: the model.
        low: the lowest value of each number of a picture, as the model takes it ``(C, H, W)``.
        high: the highest value, of the same shape.
        public: public pictures, as the model takes them, or None.

    Raises:
        AttackError: no dense layer takes one row of numbers, or what enters it depends on the
            batch, or on draws.
    """
    layer = entered_layer(model, low)
    if layer is None:
        raise AttackError("no dense layer with bias takes one row of numbers for each picture")
    if normalises_by_batch(model) or drops(model):
        raise AttackError(f"what enters '{layer}' depends on the batch, or on draws of dropout")
    own = copy.deepcopy(model).eval().requires_grad_(False)
    like = next(own.parameters())
    seen = None if public is None else public.to(like)
    return Latents(layer, own, ((low + high) / 2).to(like), seen)
