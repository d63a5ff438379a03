"""One example, or the mean of one class, behind a last layer that fishes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.base import Attack
from fedsim.attacks.best import BestOf
from fedsim.attacks.closed.base import check_one_step
from fedsim.attacks.labels.infer import classifier
from fedsim.attacks.types import Observation, OnProgress, Progress, Reconstruction, ShouldStop
from fedsim.core.errors import AttackError
from fedsim.core.registry import ATTACKS

SAME = 0.05
"""Distance from each other, in units of the fished row's, up to which the other rows are equal."""


@ATTACKS.register("fished")
class Fished(Attack):
    """Fished: the batch's gradient taken as that of one example, which the last layer isolates.

    A malicious server sends a last layer in which the rows of all classes but one are equal
    (`fishing`; Wen et al., arXiv 2202.00580). What reaches the layers in front is then the
    derivative of that one output, and only the fished examples have much of it. The output's own
    bias gradient tells how much, so that the rest is a batch of one under a loss that is the output
    itself, and the labels of the others do not matter. `best` reads it. The fished example
    stands first, and grey in place of the others; if several were fished it is a mixture.
    """

    evaluations: Annotated[
        int, Field(ge=1, description="maximum number of objective evaluations of each trial")
    ] = 600
    trials: Annotated[int, Field(ge=1, description="starts; the lowest objective wins")] = 1

    def _reconstruct(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        *,
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        first = next(iter(observations.values()))
        check_one_step(first, "reading what a last layer fished")
        name, layer = classifier(model)
        label = fished_row(layer)
        single = one_output(model, name, label)
        keys, alone, found = [], [], {}
        for i, observation in observations.items():
            part = observation.gradient[f"{name}.bias"][label]
            if float(part) == 0:
                found[i] = Reconstruction.failed("the fished output has no gradient")
                continue
            # The division by that part would hide it.
            if not all(bool(g.square().sum().isfinite()) for g in observation.gradient.values()):
                found[i] = Reconstruction.failed(
                    "the squares of the upload's values are not finite"
                )
                continue
            keys.append(i)
            alone.append(of_one(observation, name, label, part))

        def report(progress: Progress) -> None:
            on_progress(_whole(progress, keys, first))

        search = BestOf(evaluations=self.evaluations, trials=self.trials)
        results = search.run(single, alone, seed=seed, on_progress=report, should_stop=should_stop)
        for i, result in zip(keys, results, strict=True):
            found[i] = _in_batch(result, observations[i], label)
        return found


def fished_row(layer: nn.Linear) -> int:
    """Return the only row of a last layer that differs from all others.

    Raises:
        AttackError: there is none, so that nothing was fished.
    """
    weight = layer.weight.detach().double()
    common = weight.median(0).values
    apart = (weight - common).norm(dim=1)
    if len(weight) > 2 and layer.bias is not None:
        largest = apart.topk(2).values
        if largest[1] <= SAME * largest[0]:
            return int(apart.argmax())
    raise AttackError(
        "the last layer does not fish: expected equal rows for all classes but one; use an attack "
        "that matches gradients"
    )


def one_output(model: nn.Module, name: str, label: int) -> nn.Module:
    """Return a copy of a model with the fished output alone, as the layers in front see it."""
    own = copy.deepcopy(model)
    layer = own.get_submodule(name)
    weight = layer.get_parameter("weight").detach()
    other = weight[1 if label == 0 else 0]
    single = nn.Linear(weight.shape[1], 1, device="meta").to_empty(device=weight.device)
    single.to(weight.dtype)
    with torch.no_grad():
        single.weight.copy_((weight[label] - other)[None])
        single.bias.zero_()
    owner, _, last = name.rpartition(".")
    setattr(own.get_submodule(owner), last, single)
    return own


def the_output(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean output, whatever the targets are."""
    return outputs.mean() + 0 * targets.mean()


def of_one(observation: Observation, name: str, label: int, part: Tensor) -> Observation:
    """Return the observation of one example under the loss `the_output`.

    Args:
        observation: the upload of a batch.
        name: name of the last layer.
        label: its fished row.
        part: derivative of the batch's loss by the fished output.
    """
    gradient = {k: g / part for k, g in observation.gradient.items()}
    unit = observation.weight_unit
    rows = {f"{name}.{k}": gradient[f"{name}.{k}"][label][None] for k in ("weight", "bias")}
    return replace(
        observation,
        gradient=gradient | rows,
        batch_size=1,
        labels=torch.zeros(1, 1),
        statistics=None,
        loss=the_output,
        weight_unit=None if unit is None else unit / abs(float(part)),
    )


def _whole(progress: Progress, keys: list[int], observation: Observation) -> Progress:
    """Return progress of single examples as that of batches."""
    size = observation.batch_size
    return replace(
        progress,
        victims=torch.tensor([keys[int(i)] for i in progress.victims]),
        data=lambda: torch.stack([_filled(x, size) for x in progress.data()]),
    )


def _in_batch(result: Reconstruction, observation: Observation, label: int) -> Reconstruction:
    """Return a single example's reconstruction as that of a batch, in grey for the rest."""
    if result.data is None:
        return result
    size = observation.batch_size
    return replace(
        result,
        data=_filled(result.data, size),
        labels=torch.full((size,), label) if observation.labels is None else observation.labels,
        history=tuple(replace(s, data=_filled(s.data, size)) for s in result.history),
    )


def _filled(data: Tensor, size: int) -> Tensor:
    grey = torch.full((size - 1, *data.shape[1:]), 0.5).to(data)
    return torch.cat([data, grey])
