"""Base class of attacks that compute the data instead of searching for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedsim.attacks.base import Attack
from fedsim.attacks.functional import count_classes, parameters
from fedsim.attacks.labels.known import target_rows
from fedsim.attacks.matching.client import Client
from fedsim.attacks.matching.objectives import SquaredDistance
from fedsim.attacks.matching.truth import truth_fit
from fedsim.attacks.types import (
    Observation,
    OnProgress,
    Progress,
    Reconstruction,
    ShouldStop,
    Snapshot,
    Status,
    TruthFit,
)
from fedsim.core.errors import AttackError
from fedsim.core.modules import copied

Found = tuple[Tensor, Tensor]
"""A batch: the model's inputs ``(batch_size, *input_shape)`` and labels ``(batch_size,)``."""


class ClosedForm(Attack):
    """An attack that computes the batch from the gradient, with nothing to optimise.

    Its objective is that of DLG, so that closed forms and searches can be compared.
    """

    @abstractmethod
    def _solve(
        self, model: nn.Module, observations: Mapping[int, Observation], seed: int
    ) -> Mapping[int, Found | str]:
        """Return the batch behind each observation, or the reason why there is none.

        Raises:
            AttackError: no observation can be attacked.
        """

    @abstractmethod
    def _at_once(self, model: nn.Module, observation: Observation) -> int:
        """Return the number of observations like this one that may be solved together."""

    def relative_objective_of(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> float:
        """Return DLG's relative objective of a given batch."""
        return _Judge(model, observation).relative_objective(observation, data, labels)

    def truth_fit(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> TruthFit:
        """Return the fit of the private batch under DLG's equations."""

        def upload(dtype: torch.dtype) -> Mapping[str, Tensor]:
            judge = _Judge(copied(model).to(dtype), observation)
            return {k: g.double() for k, g in judge.upload(data, labels).items()}

        relative = self.relative_objective_of(model, observation, data, labels)
        shared = {k: observation.gradient[k] for k in parameters(model)}
        return truth_fit(relative, SquaredDistance(), upload, shared, model, observation)

    def _reconstruct(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        *,
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        keys = list(observations)
        results: dict[int, Reconstruction] = {}
        chunk = max(1, self._at_once(model, observations[keys[0]]))
        for begin in range(0, len(keys), chunk):
            part = {i: observations[i] for i in keys[begin : begin + chunk]}
            if should_stop():
                stopped = Reconstruction.failed("stopped before the first evaluation")
                results |= dict.fromkeys(part, stopped)
                continue
            done = self._solve_part(model, part, seed)
            results |= done
            _report(done, on_progress)
        return results

    def _solve_part(
        self, model: nn.Module, part: Mapping[int, Observation], seed: int
    ) -> dict[int, Reconstruction]:
        try:
            found = self._solve(model, part, seed)
        except AttackError as error:
            return dict.fromkeys(part, Reconstruction.failed(str(error)))
        judge = _Judge(model, next(iter(part.values())))
        return {i: judge.result(part[i], batch) for i, batch in found.items()}


def check_one_example(
    observation: Observation,
    closed_form: str,
    instead: str = "an attack that matches gradients",
) -> None:
    """Check that an upload is the gradient of one example and one step.

    Args:
        observation: the upload.
        closed_form: its name in the error.
        instead: what to use for other uploads.

    Raises:
        AttackError: it is not.
    """
    check_one_step(observation, closed_form, instead)
    if observation.batch_size != 1:
        raise AttackError(
            f"{closed_form} needs the gradient of one example, but this is the "
            f"gradient of {observation.batch_size} examples; use {instead}"
        )


def check_one_step(
    observation: Observation,
    closed_form: str,
    instead: str = "an attack that matches gradients",
) -> None:
    """Check that an upload is the gradient of one step.

    Args:
        observation: the upload.
        closed_form: its name in the error.
        instead: what to use for other uploads.

    Raises:
        AttackError: it is an update of several steps.
    """
    if observation.training is not None:
        raise AttackError(
            f"{closed_form} needs the gradient of one step, but this is an update of several "
            f"steps; use {instead}"
        )


class _Judge:
    """The squared distance of gradients, for observations of one shape, loss and range."""

    def __init__(self, model: nn.Module, observation: Observation) -> None:
        self._client = Client(model, loss=observation.loss)
        self._like = next(iter(self._client.parameters.values()))
        self._classes = count_classes(model, observation.input_shape)
        self._scale = observation.scale.on(self._like)
        self._classification = observation.is_classification

    def result(self, observation: Observation, batch: Found | str) -> Reconstruction:
        """Return the reconstruction for the model's inputs and labels, or the failure."""
        if isinstance(batch, str):
            return Reconstruction.failed(batch)
        inputs, labels = batch
        unit = self._scale.from_input(inputs.to(self._like)).clamp(0, 1)
        data = self._scale.to_data(unit)
        fit = self.relative_objective(observation, data, labels)
        if not fit < float("inf"):
            return Reconstruction.failed("the solution is not finite")
        objective = fit * self._size(observation)
        return Reconstruction(
            data=data.cpu(),
            labels=labels.cpu(),
            objective=objective,
            relative_objective=fit,
            status=Status.COMPUTED,
            evaluations=1,
            history=(Snapshot(1, objective, data.cpu()),),
        )

    def relative_objective(self, observation: Observation, data: Tensor, labels: Tensor) -> float:
        """Return the squared distance of a batch's gradient, relative to that of no gradient."""
        dummy = self.upload(data, labels)
        shared = {k: observation.gradient[k].to(self._like) for k in self._client.parameters}
        distance = float(SquaredDistance()(dummy, shared))
        return distance / max(self._size(observation), torch.finfo(self._like.dtype).tiny)

    def upload(self, data: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the gradient of a batch by name."""
        inputs = self._scale.to_input(self._scale.from_data(data.to(self._like)))
        if not self._classification and labels.ndim > 1:
            labels = labels.to(self._like.dtype)
        return self._client.upload(inputs, target_rows(labels, self._classes, self._like))

    def _size(self, observation: Observation) -> float:
        names = self._client.parameters
        return sum(float((observation.gradient[k] ** 2).sum()) for k in names)


def _report(done: Mapping[int, Reconstruction], on_progress: OnProgress) -> None:
    good = {i: r for i, r in done.items() if r.data is not None}
    if good:
        on_progress(
            Progress(
                victims=torch.tensor(list(good)),
                evaluation=1,
                max_evaluations=1,
                objective=torch.tensor([r.relative_objective for r in good.values()]),
                data=lambda: torch.stack([r.data for r in good.values() if r.data is not None]),
            )
        )
