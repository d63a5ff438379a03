"""The client, as a differentiable function of its batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn
from torch.func import grad

from fedsim.attacks.functional import parameters, with_statistics
from fedsim.attacks.types import LocalTraining


class Client:
    """Computes what a client would have uploaded for a batch, so that it can be compared.

    Args:
        model: with the global weights, in the client's mode.
        training: its local training; None for the gradient of one batch.
        names: the parameters whose gradient is wanted; None for all that are trained.
        statistics: whether to return the batch's statistics in front of BatchNorm layers too.
    """

    def __init__(
        self,
        model: nn.Module,
        training: LocalTraining | None = None,
        *,
        names: Collection[str] | None = None,
        statistics: bool = False,
    ) -> None:
        wanted = parameters(model)
        self.parameters = {k: p for k, p in wanted.items() if names is None or k in names}
        self._forward = with_statistics(model)
        self._training, self._statistics = training, statistics

    def upload(
        self, data: Tensor, target: Tensor, order: Tensor, stretch: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the gradient of the batch, or the mean gradient of the steps of local SGD.

        Geiping et al., NeurIPS 2020 (arXiv 2003.14053), section 6, unroll local steps the same
        way.

        Args:
            data: ``(N, *input_shape)``.
            target: ``(N, classes)``, or ``(N, L, classes)`` for one label per position; each row
                a distribution, times its weight.
            order: ``(steps, batch)``, which examples each step takes; ignored without local
                training.
            stretch: what the learning rate is to be multiplied by, a scalar.
        """
        if self._training is None:
            gradient, statistics = self._gradient(self.parameters, data, target)
            return {**gradient, **statistics} if self._statistics else gradient
        rate = torch.as_tensor(self._training.learning_rate, dtype=data.dtype, device=data.device)
        if stretch is not None:
            rate = rate * stretch
        now: Mapping[str, Tensor] = self.parameters
        total = {k: torch.zeros_like(p) for k, p in now.items()}
        for step in order.unbind():
            gradient, _ = self._gradient(now, data[step], target[step])
            now = {k: now[k] - rate * gradient[k] for k in now}
            total = {k: total[k] + gradient[k] for k in now}
        share = (1.0 if stretch is None else stretch) / len(order)
        return {k: share * t for k, t in total.items()}

    def gradient_at(self, data: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the gradient of the mean cross-entropy of a batch with hard labels.

        Args:
            data: ``(N, *input_shape)``.
            labels: ``(N,)``.
        """

        def loss(params: Mapping[str, Tensor]) -> Tensor:
            return F.cross_entropy(self._forward(params, data)[0], labels)

        gradient: dict[str, Tensor] = grad(loss)(self.parameters)
        return gradient

    def _gradient(
        self, params: Mapping[str, Tensor], data: Tensor, target: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        def loss(params: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            logits, statistics = self._forward(params, data)
            # The mean over what is to be predicted: a row of zeros asks for nothing.
            return -(target * F.log_softmax(logits, dim=-1)).sum() / target.sum(), statistics

        gradient, statistics = grad(loss, has_aux=True)(params)
        return gradient, statistics
