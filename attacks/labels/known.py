"""The labels of a batch: public, or inferred."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn

from fedsim.attacks.labels.fitted import LEAST_BUDGET, is_fittable, labels_by_fitting
from fedsim.attacks.labels.infer import infer_labels
from fedsim.attacks.labels.proxies import drifted_labels
from fedsim.attacks.labels.scaled import unscaled
from fedsim.attacks.labels.sequences import search_labels
from fedsim.attacks.labels.tried import tried_labels
from fedsim.attacks.local_optimisers import SGD
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError

FIRST = 4
"""Candidates of the quick search with which that by fitting begins."""


def known_or_inferred(
    model: nn.Module, observation: Observation, *, evaluations: int = 0
) -> Tensor:
    """Return the labels that the threat model makes public, else those found from the upload.

    Args:
        model: the global model, in the client's mode.
        observation: the upload.
        evaluations: objective evaluations of the attack that asks. From `LEAST_BUDGET` on, labels
            of several local steps are found by fitting pictures, which takes about as long.

    Returns:
        ``(batch_size,)``; after several local steps, whose order matters, candidates
        ``(candidates, batch_size)``, the likeliest first: one for each trial. Given targets of
        the loss, which are floating, are returned as they are.

    Raises:
        AttackError: they cannot be read off.
    """
    labels = observation.labels
    if labels is not None and (observation.training is None or not observation.is_classification):
        return labels
    if labels is not None and labels.is_floating_point():
        return labels
    if observation.has_classes and observation.training is None:
        return tried_labels(model, observation)
    if observation.training is not None:
        return _of_training(model, observation, observation.training, evaluations)
    require_cross_entropy(observation)
    return infer_labels(
        model, observation.gradient, observation.input_shape, observation.batch_size
    )


def _of_training(
    model: nn.Module, observation: Observation, training: LocalTraining, evaluations: int
) -> Tensor:
    """Return the labels of a local training.

    Raises:
        AttackError: they cannot be found.
    """
    if evaluations < LEAST_BUDGET or not is_fittable(model, observation):
        return _read_off(model, observation, training)
    first: list[Tensor] = []
    with suppress(AttackError):
        first += _read_off(model, observation, training)[:FIRST]
    if observation.labels is None and training.max_norm is None:
        with suppress(AttackError):
            first.append(drifted_labels(model, observation))
        if first and not _is_plain(training):
            # The rule that is made for the optimiser: drifted labels for momentum, else simulated.
            counted = first[-1] if training.optimiser.is_linear else first[0]
            observation = replace(observation, labels=counted)
            first = [labels for labels in first if torch.equal(labels.sort()[0], counted.sort()[0])]
    return labels_by_fitting(model, observation, torch.stack(first) if first else None)


def _is_plain(training: LocalTraining) -> bool:
    """Return whether each step follows its own gradient alone.

    Fitted pictures then tell the counts of labels better than rules do; after momentum or Adam,
    other counts often fit as well, and the search finds the order of the labels alone. Chosen on 21
    public clients for each optimiser.
    """
    return isinstance(training.optimiser, SGD) and not training.optimiser.momentum


def _read_off(model: nn.Module, observation: Observation, training: LocalTraining) -> Tensor:
    """Return the labels of a local training by rules and simulations.

    Raises:
        AttackError: they cannot be found so.
    """
    require_cross_entropy(observation)
    if training.max_norm is not None:
        return _of_clipped(model, observation, training)
    return search_labels(model, observation)


def _of_clipped(model: nn.Module, observation: Observation, training: LocalTraining) -> Tensor:
    """Return the labels of one clipped step, whose gradient came out smaller.

    Raises:
        AttackError: there are several steps, each clipped by a factor of its own.
    """
    if training.steps > 1 or not training.optimiser.is_linear:
        raise AttackError(
            "labels cannot be read off an update of several steps whose gradients are clipped; "
            "give the labels or use an attack that optimises them"
        )
    one = unscaled(model, replace(observation, training=None))
    return infer_labels(model, one.gradient, one.input_shape, one.batch_size)


def require_cross_entropy(observation: Observation) -> None:
    """Check that the loss is the one for which label rules hold.

    Raises:
        AttackError: it is another.
    """
    if not observation.is_classification:
        raise AttackError(
            "labels are read off the gradient of the mean cross-entropy, and this observation has "
            "another loss; give the labels (Observation(labels=...)), or use 'dlg', which "
            "optimises them"
        )


def target_rows(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Return labels as the loss takes them.

    Args:
        labels: classes as whole numbers of any shape, or targets as floating ones.
        classes: number of classes.
        like: tensor of the type and on the device of the result.

    Returns:
        One-hot rows ``(..., classes)``, zeros where a label is below zero, which asks for nothing;
        floating targets as they are.
    """
    labels = labels.to(like.device)
    if labels.is_floating_point():
        return labels.to(like)
    rows = F.one_hot(labels.clamp(min=0).long(), classes)
    return (rows * (labels >= 0)[..., None]).to(like)
