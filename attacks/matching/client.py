"""Client model: the upload as a differentiable function of the batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import vmap

from fedsim.attacks.assumptions import Loss
from fedsim.attacks.functional import ForwardWithStatistics, parameters, with_statistics
from fedsim.attacks.local_optimisers import State, decayed
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.matching.objectives import inner_product
from fedsim.attacks.matching.processing import Change, changed
from fedsim.core.derivatives import grad
from fedsim.core.losses import mean_cross_entropy

Entering = Callable[[Mapping[str, Tensor], Tensor], Tensor]


class Client:
    """The upload of a client for a batch, so that it can be compared with the shared one.

    Args:
        model: with the global weights, in the client's mode.
        training: its local training; None for the gradient of one batch.
        names: the parameters whose gradient is wanted; None for all that are trained.
        statistics: whether to return the batch's statistics in front of BatchNorm layers too.
        loss: of a batch.
        per_example: what the client does to the gradient of each example, in each step, before it
            takes their mean; empty for the gradient of the batch's mean loss.
        per_client: what each of several clients does to its gradient, before the mean over the
            clients is taken; empty for one client. Their examples follow each other, equally many
            of each client.
        entering: what enters the model, as a function of the parameters and the data; None for the
            data themselves.
        passes: number of passes of the local training that have data of their own, which follow
            each other.
    """

    def __init__(
        self,
        model: nn.Module,
        training: LocalTraining | None = None,
        *,
        names: Collection[str] | None = None,
        statistics: bool = False,
        loss: Loss = mean_cross_entropy,
        per_example: Sequence[Change] = (),
        per_client: Sequence[Sequence[Change]] = (),
        entering: Entering | None = None,
        passes: int = 1,
    ) -> None:
        wanted = parameters(model)
        self.parameters = {k: p for k, p in wanted.items() if names is None or k in names}
        forward = with_statistics(model)
        self._forward = forward if entering is None else _behind(entering, forward)
        self._training, self._statistics, self._loss = training, statistics, loss
        self._per_example, self._per_client = tuple(per_example), tuple(per_client)
        self._passes = passes

    def compared(
        self,
        data: Tensor,
        target: Tensor,
        shared: Mapping[str, Tensor],
        order: Tensor | None = None,
        rate_scale: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
        """Return the upload of a batch and the shared one, as they are to be compared.

        They are as they are, or both times a factor for each entry that makes the upload of an
        optimiser continuous (`LocalOptimiser.trust`) and leaves the size of the shared one.

        Args:
            data: ``(N, *input_shape)``.
            target: as the loss takes it, see `upload`.
            shared: the shared tensors by name.
            order: ``(steps, batch)``, the examples of each step; needed for local training.
            rate_scale: factor on the learning rate, a scalar.
            draws: see `upload`.
        """
        upload = self.upload(data, target, order, rate_scale, draws)
        if self._training is None or order is None or self._training.optimiser.is_linear:
            return upload, shared
        rows = order[0][: self._training.sizes(len(data) // self._passes)[0]]
        own = None if draws is None else draws[: len(rows)]
        first, _ = self._gradient(self.parameters, data[rows], target[rows], own)
        trust = self._training.optimiser.trust(first)
        if trust is None:
            return upload, shared
        weighted = {k: trust[k] * shared[k] for k in trust}
        size = inner_product(weighted, weighted, weighted) + torch.finfo(data.dtype).tiny
        scale = (inner_product(shared, shared, weighted) / size).sqrt()
        factors = {k: scale * trust[k] for k in trust}
        return {k: f * upload[k] for k, f in factors.items()}, {
            k: f * shared[k] for k, f in factors.items()
        }

    def upload(
        self,
        data: Tensor,
        target: Tensor,
        order: Tensor | None = None,
        rate_scale: Tensor | None = None,
        draws: Tensor | None = None,
        *,
        weights: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the gradient of the batch, or the mean gradient of the local steps.

        Geiping et al., NeurIPS 2020 (arXiv 2003.14053), section 6, unroll local steps of plain SGD
        in this way. For other optimisers see `fedsim.attacks.Observation.from_training`.

        Args:
            data: ``(N, *input_shape)``.
            target: as the loss takes it, the examples first. For the mean cross-entropy rows
                ``(N, classes)``, or ``(N, L, classes)`` for one label per position.
            order: ``(steps, batch)``, the examples of each step; needed for local training. A
                smaller step uses the first of its row.
            rate_scale: factor on the learning rate, a scalar.
            draws: standard normal draws of the model's stochastic layers, one row for each example,
                or for each example of each step, ``(steps x batch, draw_size)``; None for those of
                the model itself.
            weights: weights at which to take the gradient of the batch; by default the global ones.
        """
        if self._training is None or order is None:
            at = self.parameters if weights is None else weights
            gradient, statistics = self._gradient(at, data, target, draws)
            return {**gradient, **statistics} if self._statistics else gradient
        return self._after_steps(self._training, data, target, order, rate_scale, draws)

    def _after_steps(
        self,
        training: LocalTraining,
        data: Tensor,
        target: Tensor,
        order: Tensor,
        rate_scale: Tensor | None,
        draws: Tensor | None,
    ) -> dict[str, Tensor]:
        """Return the change of the weights in units of the mean gradient."""
        optimiser, scale = training.optimiser, 1.0 if rate_scale is None else rate_scale
        now: Mapping[str, Tensor] = self.parameters
        moved = {k: torch.zeros_like(p) for k, p in now.items()}
        state: State = {}
        each = [None] * len(order) if draws is None else draws.chunk(len(order))
        sizes = training.sizes(len(data) // self._passes)
        batches = zip(order.unbind(), each, sizes, training.rates, strict=True)
        for number, (step, drawn, size, rate) in enumerate(batches, start=1):
            rows, own = step[:size], None if drawn is None else drawn[:size]
            gradient, _ = self._gradient(now, data[rows], target[rows], own)
            given = training.gradient(gradient, now, self.parameters)
            direction, state = optimiser.direction(now, given, state, number)
            now = {k: now[k] - rate * scale * direction[k] for k in now}
            moved = {k: moved[k] + rate * training.unit * direction[k] for k in now}
        upload = {k: scale * total for k, total in moved.items()}
        return decayed(upload, self.parameters, -optimiser.constant_decay)

    def _gradient(
        self, params: Mapping[str, Tensor], data: Tensor, target: Tensor, draws: Tensor | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        def loss(params: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            logits, statistics = self._forward(params, data, draws)
            return self._loss(logits, target), statistics

        if self._per_example or self._per_client:
            statistics = self._forward(params, data, draws)[1] if self._statistics else {}
            mean = self._mean_of_clients if self._per_client else self._mean_of_examples
            return mean(params, data, target, draws), statistics
        gradient, statistics = grad(loss, has_aux=True)(params)
        return gradient, statistics

    def _mean_of_clients(
        self, params: Mapping[str, Tensor], data: Tensor, target: Tensor, draws: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the mean of the clients' gradients, each changed as its client does."""

        def loss(
            params: Mapping[str, Tensor], data: Tensor, target: Tensor, drawn: Tensor | None
        ) -> Tensor:
            return self._loss(self._forward(params, data, drawn)[0], target)

        def gradient_of(data: Tensor, target: Tensor, drawn: Tensor | None) -> dict[str, Tensor]:
            if self._per_example:
                return self._mean_of_examples(params, data, target, drawn)
            own: dict[str, Tensor] = grad(loss)(params, data, target, drawn)
            return own

        clients = len(self._per_client)
        own_data, own_target = (x.reshape(clients, -1, *x.shape[1:]) for x in (data, target))
        drawn = None if draws is None else draws.reshape(clients, -1, draws.shape[-1])
        mapped = vmap(gradient_of, in_dims=(0, 0, None if draws is None else 0))
        gradients: dict[str, Tensor] = mapped(own_data, own_target, drawn)
        each = [
            changed({k: g[number] for k, g in gradients.items()}, changes)
            for number, changes in enumerate(self._per_client)
        ]
        return {k: torch.stack([own[k] for own in each]).mean(dim=0) for k in gradients}

    def _mean_of_examples(
        self, params: Mapping[str, Tensor], data: Tensor, target: Tensor, draws: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the mean of the examples' gradients, each changed on its own."""

        def loss(
            params: Mapping[str, Tensor], example: Tensor, row: Tensor, drawn: Tensor | None
        ) -> Tensor:
            one = None if drawn is None else drawn[None]
            logits, _ = self._forward(params, example[None], one)
            return self._loss(logits, row[None])

        def gradient_of(example: Tensor, row: Tensor, drawn: Tensor | None) -> dict[str, Tensor]:
            return changed(grad(loss)(params, example, row, drawn), self._per_example)

        axes = (0, 0, None if draws is None else 0)
        each: dict[str, Tensor] = vmap(gradient_of, in_dims=axes)(data, target, draws)
        return {k: g.mean(dim=0) for k, g in each.items()}


def _behind(entering: Entering, forward: ForwardWithStatistics) -> ForwardWithStatistics:
    """Return the model's function of data that enter it as something else."""

    def behind(
        params: Mapping[str, Tensor], inputs: Tensor, draws: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return forward(params, entering(params, inputs), draws)

    return behind
