"""Base class of attacks that compute the data instead of searching for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedsim.attacks.base import Attack
from fedsim.attacks.matching.client import Client
from fedsim.attacks.matching.objectives import SquaredDistance
from fedsim.attacks.types import (
    Observation,
    OnProgress,
    Progress,
    Reconstruction,
    ShouldStop,
    Snapshot,
    Status,
)
from fedsim.core.errors import AttackError

Found = tuple[Tensor, Tensor]
"""A batch: data ``(batch_size, *input_shape)`` and labels ``(batch_size,)``."""


class ClosedForm(Attack):
    """An attack that computes the batch from the gradient, with nothing to optimise.

    DLG's objective measures how well the result explains the gradient, so that closed forms and
    searches can be compared.
    """

    @abstractmethod
    def _solve(
        self, model: nn.Module, observations: Mapping[int, Observation], seed: int
    ) -> Mapping[int, Found | str]:
        """Return the batch behind each observation, or the reason for the failure.

        Raises:
            AttackError: no observation can be attacked.
        """

    @abstractmethod
    def _at_once(self, model: nn.Module, observation: Observation) -> int:
        """Return the maximum number of observations like this one to solve together."""

    def misfit(
        self, model: nn.Module, observation: Observation, data: Tensor, labels: Tensor
    ) -> float:
        """Return DLG's relative objective of a given batch."""
        return _misfit(Client(model), observation, data, labels)

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
        client = Client(model)
        return {i: _result(client, part[i], batch) for i, batch in found.items()}


def _result(client: Client, observation: Observation, batch: Found | str) -> Reconstruction:
    if isinstance(batch, str):
        return Reconstruction.failed(batch)
    data, labels = batch
    like = next(iter(client.parameters.values()))
    data = data.clamp(0, 1).to(like)
    fit = _misfit(client, observation, data, labels)
    if not fit < float("inf"):
        return Reconstruction.failed("the solution is not finite")
    objective = fit * _size(client, observation)
    return Reconstruction(
        data=data.cpu(),
        labels=labels.cpu(),
        objective=objective,
        relative_objective=fit,
        status=Status.COMPUTED,
        evaluations=1,
        history=(Snapshot(1, objective, data.cpu()),),
    )


def _misfit(client: Client, observation: Observation, data: Tensor, labels: Tensor) -> float:
    """Return the squared distance of the batch's gradient, relative to a zero gradient's."""
    like = next(iter(client.parameters.values()))
    dummy = client.gradient_at(data.to(like), labels.to(like.device))
    shared = {k: observation.gradient[k].to(like) for k in client.parameters}
    distance = SquaredDistance()(dummy, shared)
    return float(distance) / max(_size(client, observation), torch.finfo(like.dtype).tiny)


def _size(client: Client, observation: Observation) -> float:
    return sum(float((observation.gradient[k] ** 2).sum()) for k in client.parameters)


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
