"""Several rounds together: the uploads of clients that use the same examples again.

A server sees the same clients again and again. Noise that is drawn anew in each round averages out,
what one round withholds another one sends, and sums over other clients differ by single uploads.
`over_rounds` combines the rounds into one observation of one model, which any attack by gradient
matching takes; `in_each_round` adapts an attacker of a defense to it. `separated` returns single
uploads from sums over changing clients, if all of them answer the same weights.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedsim.attacks.assumptions import Loss
from fedsim.attacks.functional import count_classes
from fedsim.attacks.labels.infer import infer_labels
from fedsim.attacks.labels.scaled import unscaled
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import nested, unwrapped
from fedsim.attacks.matching.rounds import ChangeInEachRound, InEachRound, joined
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError

Members = tuple[tuple[int, ...], ...]
"""For each round, the positions of its examples among all examples."""

SEPARABLE = 1e-6
"""Largest error of a combination of cohorts that stands for a single client."""


class Rounds(nn.Module):
    """The global models of several rounds, on the same inputs.

    Outputs ``(N, rounds, classes)``. The gradient of the sum of the rounds' losses has the
    gradient of each round at the parameters of that round, and at no other.

    Args:
        models: the global model of each round.
        num_outputs: size of one model's output.
        members: the examples of each round; the outputs of a round for others are zero.
    """

    def __init__(
        self, models: Sequence[nn.Module], num_outputs: int, members: Members | None = None
    ) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(copy.deepcopy(model) for model in models)
        self.num_outputs, self._members = num_outputs, members

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of each round's model."""
        if self._members is None:
            return torch.stack([model(inputs) for model in self.rounds], dim=1)
        each = []
        for model, own in zip(self.rounds, self._members, strict=True):
            index = torch.tensor(own, device=inputs.device)
            outputs = model(inputs.index_select(0, index))
            absent = outputs.new_zeros(len(inputs), *outputs.shape[1:])
            each.append(absent.index_add(0, index, outputs))
        return torch.stack(each, dim=1)


def over_rounds(
    models: Sequence[nn.Module],
    observations: Sequence[Observation],
    members: Sequence[Sequence[int]] | None = None,
    *,
    scaled: bool = False,
) -> tuple[Rounds, Observation]:
    """Return one model and one observation that stand for several rounds.

    The objective is the sum over the rounds, each at its own weights: with a likelihood of the
    noise it is that of all uploads, and coordinates that are left out of one upload are read from
    the others. Labels are those that the gradients show, unless they are public.

    Args:
        models: the global model that each upload answers.
        observations: the uploads, or sums of uploads, one for each round; of one step.
        members: the examples of each round as positions among all examples, for batches that share
            some of them; public labels are then those of all examples. By default all rounds have
            the same batch, as for a client whose batch is its whole partition.
        scaled: whether defenses made gradients smaller by an unknown factor, as clipping does.

    Raises:
        AttackError: the rounds do not fit together, or have several local steps.
    """
    _check(models, observations, members)
    first = observations[0]
    joint = joined([o.gradient for o in observations])
    classes, labels = count_classes(models[0], first.input_shape), first.labels
    if members is None:
        if labels is None:
            labels = _labels(models[0], observations, scaled=scaled)
        size, places = first.batch_size, None
    else:
        places = tuple(tuple(own) for own in members)
        size = 1 + max(i for own in places for i in own)
        if labels is None:
            labels = _labels_of_members(models, observations, places, classes, scaled=scaled)
    return Rounds(models, classes, places), replace(
        first,
        gradient=joint,
        batch_size=size,
        labels=labels,
        loss=_sum_of(first.loss, places),
        statistics=None,
    )


def together(
    attack: GradientMatching,
    models: Sequence[nn.Module],
    observations: Sequence[Observation],
    members: Sequence[Sequence[int]] | None = None,
) -> tuple[GradientMatching, Rounds, Observation]:
    """Return an attack on several rounds, with their model and observation.

    Args:
        attack: the attack on a single round, adapted to the defenses.
        models: see `over_rounds`.
        observations: see `over_rounds`.
        members: see `over_rounds`.

    Raises:
        AttackError: the rounds do not fit together, or the attack does not fit several rounds.
    """
    if members is not None and attack.per_example:
        raise AttackError(
            "clients that clip each example are not followed over rounds with other batches"
        )
    if members is not None and attack.draws:
        raise AttackError(
            "the draws of a model are not followed through batches that differ between rounds; "
            "attack each round on its own"
        )
    each = in_each_round(attack)
    return each, *over_rounds(models, observations, members, scaled=attack.scaled)


def in_each_round(attack: GradientMatching) -> GradientMatching:
    """Return the attack with its defenses' effects on the upload of each round.

    Raises:
        AttackError: the attack follows several clients in each round.
    """
    if attack.per_client:
        raise AttackError(
            "clients that clip or prune their uploads are not followed over several rounds of sums"
        )
    wrappers, objective = unwrapped(attack.objective)
    each = [w if w.joins_rounds else InEachRound(inner=w) for w in wrappers]
    return replace(
        attack,
        objective=nested(each, objective),
        per_example=tuple(map(ChangeInEachRound, attack.per_example)),
    )


def separated(
    cohorts: Sequence[Sequence[int]], means: Sequence[Mapping[str, Tensor]]
) -> dict[int, dict[str, Tensor]]:
    """Return the uploads of the clients that the means of changing cohorts determine.

    Exact for clients that upload the same in each round: the same batch at the same weights. Noise
    is that of the least squares. Between rounds that train, the change of the gradient remains as
    an error; `over_rounds` with ``members`` has none.

    Args:
        cohorts: the clients of each round.
        means: the mean of their uploads in that round, by tensor.

    Returns:
        The upload of each client whose indicator is a combination of the cohorts'; others are left
        out.

    Raises:
        AttackError: there are not as many means as cohorts, or a cohort is empty.
    """
    if len(cohorts) != len(means) or not all(cohorts):
        raise AttackError(
            f"{len(cohorts)} cohorts for {len(means)} means: expected one for each, and not empty"
        )
    clients = sorted({c for cohort in cohorts for c in cohort})
    shares = torch.tensor(
        [[(c in cohort) / len(cohort) for c in clients] for cohort in cohorts], dtype=torch.float64
    )
    inverse = torch.linalg.pinv(shares)
    error = (inverse @ shares - torch.eye(len(clients), dtype=torch.float64)).abs().amax(1)
    stacked = {k: torch.stack([mean[k] for mean in means]) for k in means[0]} if means else {}
    return {
        client: {k: torch.tensordot(row.to(x), x, dims=1) for k, x in stacked.items()}
        for client, row, wrong in zip(clients, inverse, error.tolist(), strict=True)
        if wrong <= SEPARABLE
    }


def _check(
    models: Sequence[nn.Module],
    observations: Sequence[Observation],
    members: Sequence[Sequence[int]] | None,
) -> None:
    if not observations or len(models) != len(observations):
        raise AttackError(
            f"{len(models)} models for {len(observations)} observations: expected one for each "
            "round, and at least one round"
        )
    first = observations[0]
    if any(o.training is not None for o in observations):
        raise AttackError(
            "several local steps: the order of the examples differs between rounds; expected "
            "gradients, or updates of one step"
        )
    shapes = {(o.input_shape, o.lengths) for o in observations}
    if len(shapes) > 1 or any(o.loss is not first.loss for o in observations):
        raise AttackError("the rounds differ in shape or loss: expected the same kind of batch")
    sizes = [o.batch_size for o in observations]
    if members is None:
        if len(set(sizes)) > 1:
            raise AttackError("the rounds differ in batch size: expected the same batch")
    elif [len(set(own)) for own in members] != sizes:
        raise AttackError(
            f"batches of {sizes} examples for {[len(set(own)) for own in members]} members: "
            "expected one position for each example of a round"
        )


@functools.cache
def _sum_of(loss: Loss, members: Members | None) -> Loss:
    """Return the sum of the rounds' losses."""

    def total(outputs: Tensor, target: Tensor) -> Tensor:
        each = outputs.unbind(1)
        if members is None:
            return torch.stack([loss(own, target) for own in each]).sum()
        places = (torch.tensor(own, device=outputs.device) for own in members)
        chosen = [
            (x.index_select(0, i), target.index_select(0, i))
            for x, i in zip(each, places, strict=True)
        ]
        return torch.stack([loss(*pair) for pair in chosen]).sum()

    return total


def _labels(model: nn.Module, observations: Sequence[Observation], *, scaled: bool) -> Tensor:
    """Return the labels that the mean gradient shows, whose noise is the smallest."""
    first = observations[0]
    mean = {k: torch.stack([o.gradient[k] for o in observations]).mean(0) for k in first.gradient}
    seen = replace(first, gradient=mean)
    seen = unscaled(model, seen) if scaled else seen
    return infer_labels(model, seen.gradient, first.input_shape, first.batch_size)


def _labels_of_members(
    models: Sequence[nn.Module],
    observations: Sequence[Observation],
    members: Members,
    classes: int,
    *,
    scaled: bool,
) -> Tensor:
    """Return the labels of all examples, by the classes that each round's gradient shows."""
    counts = torch.zeros(len(members), classes, dtype=torch.float64)
    present = torch.zeros(
        len(members), 1 + max(i for own in members for i in own), dtype=torch.float64
    )
    for row, (model, seen, own) in enumerate(zip(models, observations, members, strict=True)):
        labels = _labels(model, [seen], scaled=scaled).cpu()
        counts[row] = torch.bincount(labels, minlength=classes)
        present[row, list(own)] = 1
    shares: Tensor = torch.linalg.pinv(present) @ counts
    return shares.argmax(1)
