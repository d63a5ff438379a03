"""The contract of an attack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor, nn

from fedsim.attacks.functional import count_classes
from fedsim.attacks.labels.infer import check_range
from fedsim.attacks.types import (
    Observation,
    OnProgress,
    Reconstruction,
    ShouldStop,
    ignore_progress,
    never_stop,
)
from fedsim.core.checked import Parameters
from fedsim.core.errors import AttackError
from fedsim.core.modality import PICTURES, modality_of, suits


class Attack(Parameters, ABC):
    """A gradient inversion attack: a frozen dataclass of its hyper-parameters.

    A subclass implements `_reconstruct`; callers use `run`.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({PICTURES})
    """The kinds of data that it can rebuild; None for any."""

    def informed(self, texts: Sequence[Sequence[int]]) -> Self:
        """Return the attack as those use it who have public texts; here, unchanged.

        Args:
            texts: the tokens of each, without padding.
        """
        return self

    @final
    def run(
        self,
        model: nn.Module,
        observations: Sequence[Observation],
        *,
        seed: int = 0,
        on_progress: OnProgress = ignore_progress,
        should_stop: ShouldStop = never_stop,
    ) -> list[Reconstruction]:
        """Reconstruct the batch behind each observation, all of them together.

        An observation that cannot be attacked (a tensor is missing, has another shape or is
        not finite) yields a failed reconstruction that says why; the others go on.

        Args:
            model: the model that the observations answer, with those weights and in the mode
                (train or eval) in which the clients computed their gradients. Not modified.
            observations: what was observed, on any device.
            seed: seed of the random starts. Same seed, same result on the same device.
            on_progress: called as the attack goes on.
            should_stop: asked often; when true the attack ends with what it has.

        Returns:
            One reconstruction for each observation, in order; data in [0, 1].
        """
        results: list[Reconstruction | None] = [None] * len(observations)
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for i, observation in enumerate(observations):
            problem = self._unsuited(model) or _problem(model, observation)
            if problem is None:
                alike = (observation.input_shape, observation.batch_size, observation.lengths)
                groups[(*alike, observation.training, observation.statistics is None)].append(i)
            else:
                results[i] = Reconstruction.failed(problem)
        for members in groups.values():
            checked, spoilt = _with_checked_labels(model, {i: observations[i] for i in members})
            for i, reason in spoilt.items():
                results[i] = Reconstruction.failed(reason)
            if not checked:
                continue
            try:
                found = self._reconstruct(
                    model,
                    checked,
                    seed=seed,
                    on_progress=on_progress,
                    should_stop=should_stop,
                )
            except AttackError as error:  # it applies to none of them
                found = {i: Reconstruction.failed(str(error)) for i in checked}
            for i in checked:
                results[i] = found[i]
        return [r if r is not None else Reconstruction.failed("not attacked") for r in results]

    def misfit(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> float | None:
        """Return this attack's relative objective of a batch that somebody else supplies.

        For those who judge an attack after it has ended: if the private batch fits worse than
        the reconstruction did, the upload no longer points to it; if it fits better, the attack
        failed to find it. None if the attack optimises nothing.

        Args:
            model: as in `run`.
            observation: what was attacked.
            data: ``(batch_size, *input_shape)``.
            labels: ``(batch_size,)``.
        """
        return None

    def _unsuited(self, model: nn.Module) -> str | None:
        """Return why this attack is none on such a model, if it is not."""
        kind = modality_of(model)
        if suits(self.modalities, kind):
            return None
        return (
            f"{type(self).__name__} rebuilds {' and '.join(sorted(self.modalities or ()))}, and "
            f"the model takes {kind}: choose an attack on {kind}"
        )

    @abstractmethod
    def _reconstruct(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        *,
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        """Attack observations of one input shape, batch size and local training.

        Args:
            model: as in `run`.
            observations: the checked observations by their position in the list given to
                `run`, which also names their random start, whatever they are batched with.
            seed: as in `run`.
            on_progress: as in `run`.
            should_stop: as in `run`.

        Returns:
            A reconstruction for each key of ``observations``.

        Raises:
            AttackError: none of them can be attacked.
        """


def _problem(model: nn.Module, observation: Observation) -> str | None:
    """Return why an observation cannot be attacked, if it cannot."""
    if observation.batch_size < 1:
        return f"batch size {observation.batch_size}: expected at least 1"
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue  # a frozen layer has no gradient to share
        shared = observation.gradient.get(name)
        if shared is None:
            return f"the gradient of {name!r} is missing"
        if shared.shape != parameter.shape:
            return (
                f"the gradient of {name!r} has shape {tuple(shared.shape)}, "
                f"expected {tuple(parameter.shape)}"
            )
        if not bool(torch.isfinite(shared).all()):
            return f"the gradient of {name!r} holds NaN or infinite values"
    return _label_problem(observation.labels, observation.batch_size)


def _with_checked_labels(
    model: nn.Module, observations: dict[int, Observation]
) -> tuple[dict[int, Observation], dict[int, str]]:
    """Return observations whose labels are classes, as ``int64``, and what is wrong with others."""
    checked, spoilt = dict(observations), dict[int, str]()
    known = {i: o.labels for i, o in observations.items() if o.labels is not None}
    if not known:
        return checked, spoilt
    classes = count_classes(model, next(iter(observations.values())).input_shape)
    for i, labels in known.items():
        try:
            check_range(labels, classes)
            checked[i] = replace(observations[i], labels=labels.long())
        except AttackError as error:
            del checked[i]
            spoilt[i] = str(error)
    return checked, spoilt


def _label_problem(labels: Tensor | None, batch_size: int) -> str | None:
    if labels is None:
        return None
    if labels.shape != (batch_size,):
        return f"labels have shape {tuple(labels.shape)}, expected ({batch_size},)"
    if labels.is_floating_point():
        return f"labels have the type {labels.dtype}, expected whole numbers"
    return None
