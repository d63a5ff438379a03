"""FedSGD: one server step along the mean of the clients' gradients."""

from collections.abc import Collection, Iterable

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from torch import Tensor

from fedsim.core.arrays import record_of, tensors_of


class FedSGD(FedAvg):
    """One SGD step per round on the mean gradient, weighted by each client's examples.

    McMahan et al. 2017 (arXiv 1602.05629), section 2. Uploaded buffers, such as BatchNorm's
    running statistics, are values and not gradients: their mean replaces the global ones.

    Args:
        learning_rate: learning rate of the server's step.
        parameters: names of the arrays whose uploads are gradients; all others are buffers.
        min_nodes: minimum number of clients in a round.
    """

    def __init__(
        self, learning_rate: float, parameters: Collection[str], *, min_nodes: int = 1
    ) -> None:
        super().__init__(
            fraction_evaluate=0.0,
            min_train_nodes=min_nodes,
            min_available_nodes=min_nodes,
        )
        self._learning_rate = learning_rate
        self._parameters = frozenset(parameters)
        self._current = ArrayRecord()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the global model, and store it for the step."""
        self._current = arrays
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the global model after the step, or None if no reply has a gradient."""
        mean, metrics = super().aggregate_train(server_round, replies)
        if mean is None:
            return None, None
        gradients = tensors_of(mean)
        stepped = {}
        for name, old in tensors_of(self._current).items():
            if name in self._parameters:
                stepped[name] = old - self._learning_rate * gradients[name].to(old.dtype)
            else:
                stepped[name] = _cast(gradients.get(name, old), old.dtype).reshape(old.shape)
        return record_of({k: torch.as_tensor(v) for k, v in stepped.items()}), metrics


def _cast(mean: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert a mean to another dtype; a counter's mean of 0.999... becomes 1, not 0."""
    return mean.to(dtype) if dtype.is_floating_point else mean.round().to(dtype)
