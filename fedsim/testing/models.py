"""Contract of models."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from fedsim.attacks.functional import Forward, as_function
from fedsim.core.errors import DataError
from fedsim.core.modality import PICTURES, TEXTS
from fedsim.data import load_dataset
from fedsim.data.texts import Messages
from fedsim.testing.contract import (
    Claim,
    ContractError,
    Subject,
    expect,
    expect_close,
    expect_equal,
    unchanged_randomness,
)

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 17, 23)]
Values = dict[str, Tensor]


def claims(cls: type[Any]) -> list[Claim]:
    """Return the claims about a class of models."""
    if cls.modality == PICTURES:
        return [
            logits_of_pictures_of_any_shape,
            weights_depend_on_the_seed_alone,
            impossible_tasks_are_refused,
            gradients_of_many_victims_can_be_matched,
        ]
    return [it_learns_from_messages] if cls.modality == TEXTS else []


def logits_of_pictures_of_any_shape(subject: Subject) -> None:
    """Finite logits, trainable weights of single precision, and no operation in place."""
    for shape in SHAPES:
        model = subject.make().build(shape, 7, seed=0)
        logits = model(torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)))
        expect(logits.shape == (2, 7), f"{shape}: logits of shape {tuple(logits.shape)}")
        expect(bool(logits.isfinite().all()), f"{shape}: logits are not finite")
        single = all(p.dtype == torch.float32 for p in model.parameters())
        expect(single, f"{shape}: weights are not of single precision")
        in_place = [n for n, m in model.named_modules() if getattr(m, "inplace", False)]
        expect(not in_place, f"{shape}: {in_place} work in place, which gradients cannot follow")


def weights_depend_on_the_seed_alone(subject: Subject) -> None:
    """No global random state is read or changed."""

    def build(seed: int) -> Values:
        state: Values = subject.make().build(SHAPES[0], 10, seed=seed).state_dict()
        return state

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        unchanged_randomness(lambda: build(3))
        first = build(3)
        torch.manual_seed(2)
        again, other = build(3), build(4)
    for name, value in first.items():
        expect_equal(value, again[name], f"{name!r} does not depend on the seed alone")
    same = all(torch.equal(first[name], other[name]) for name in first)
    expect(not same, "another seed gives the same weights")


def impossible_tasks_are_refused(subject: Subject) -> None:
    """Pictures without extent and no output are errors of the data."""
    for shape, classes in (((1, 0, 28), 10), ((28, 28), 10), ((1, 28, 28), 0)):
        try:
            subject.make().build(shape, classes, seed=0)
        except DataError:
            continue
        raise ContractError(f"pictures of shape {shape} in {classes} classes are not refused")


def gradients_of_many_victims_can_be_matched(subject: Subject) -> None:
    """Second derivatives mapped over victims equal those of each victim alone."""
    model, side = _smallest(subject)
    params = {name: p.detach() for name, p in model.named_parameters()}
    images = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0)).double()
    labels, target = torch.tensor([0, 2]), {k: p.new_zeros(2, *p.shape) for k, p in params.items()}
    objective = _matching(as_function(model), params)
    together = vmap(grad(objective))(images, labels, target)
    expect(bool(together.isfinite().all()), "the derivative of a gradient is not finite")
    expect(bool(together.abs().max() > 0), "the gradient does not depend on the picture")
    alone = grad(objective)(images[1], labels[1], {name: t[1] for name, t in target.items()})
    expect_close(together[1], alone, "the derivative depends on who else is in the batch")


def it_learns_from_messages(subject: Subject) -> None:
    """A language model gives a loss with a gradient for tokens of fedsim's own messages."""

    def build(seed: int) -> tuple[Any, Any]:
        pair: tuple[Any, Any] = subject.make().for_data(load_dataset(Messages()), seed)
        return pair

    unchanged_randomness(lambda: build(0))
    tokens, model = build(0)
    inputs, labels = tokens.train.batch(np.arange(2), seed=0)
    logits = model(inputs)
    loss = nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())
    trained = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, trained, allow_unused=True)
    graded = [g for g in found if g is not None]
    expect(bool(graded), "no parameter has a gradient")
    expect(all(bool(g.isfinite().all()) for g in graded), "a gradient is not finite")
    _, again = build(0)
    for name, value in model.state_dict().items():
        expect_equal(value, again.state_dict()[name], f"{name!r}: one seed gave two values")


def _smallest(subject: Subject) -> tuple[nn.Module, int]:
    """Return the model in double precision, and the side of the smallest pictures it takes."""
    for side in (12, 40):
        model = copy.deepcopy(subject.make().build((1, side, side), 3, seed=0)).double()
        try:
            copy.deepcopy(model)(torch.rand(1, 1, side, side).double())
        except (RuntimeError, ValueError):  # such as a map of 1 x 1, which has no statistics
            continue
        return model, side
    raise ContractError("it takes no picture of 40 x 40 in a batch of one")


def _matching(forward: Forward, params: Values) -> Callable[[Tensor, Tensor, Values], Tensor]:
    """Return the objective of gradient matching for one victim."""

    def loss(params: Values, image: Tensor, label: Tensor) -> Tensor:
        return nn.functional.cross_entropy(forward(params, image[None]), label[None])

    def objective(image: Tensor, label: Tensor, target: Values) -> Tensor:
        found = grad(loss)(params, image, label)
        return torch.stack([(found[name] - target[name]).square().sum() for name in found]).sum()

    return objective
