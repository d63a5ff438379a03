"""Building blocks of the client side of secure aggregation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable
from torch import Tensor

from fedsim.clients.site import Site
from fedsim.core.arrays import tensors_of
from fedsim.core.errors import UploadError
from fedsim.core.vectors import differences, flat
from fedsim.models.blocks import BLOCK_KEY
from fedsim.scenario.aggregation import Aggregation

VectorOf = Callable[[Message, Message], Tensor]
"""Function from ``(message, honest reply)`` to the vector to hide."""


@dataclass(frozen=True, eq=False)
class ClientSide:
    """A client's scenario and training function, for a secure aggregation.

    Attributes:
        site: the scenario with its data.
        train: returns the defended reply in the clear.
    """

    site: Site
    train: ClientAppCallable

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.site.scenario.seed

    def vector_of(self, limit: float, parameter: str) -> VectorOf:
        """Return a function from an honest reply to the vector to hide.

        Args:
            limit: greatest absolute value that the vector may hold; a reply beyond it raises
                `UploadError`.
            parameter: the aggregation's parameter that sets the limit, for the message.
        """
        sizes = [len(own) for own in self.site.partitions]
        most = self.site.scenario.federation.most_examples(sizes)

        def vector_of(message: Message, reply: Message) -> Tensor:
            received = tensors_of(message.content.array_records["arrays"])
            own = self._gradients(message, received)
            arrays = tensors_of(reply.content.array_records["arrays"])
            vector = flat(differences(arrays, received, own))
            # The server cannot check, so the client must not spoil the sum. How far
            # outside a value is stays with the client.
            if not bool((vector.abs() <= limit).all()):
                raise UploadError(
                    f"the upload has a value outside of ±{limit:g}, the range of hidden sums; "
                    f"raise federation.aggregation.{parameter}, or clip the uploads"
                )
            if not 0 < examples_of(reply) <= most:
                raise UploadError(f"num-examples is {examples_of(reply)}: expected 1 to {most}")
            return vector

        return vector_of

    def _gradients(self, message: Message, received: Mapping[str, Tensor]) -> set[str]:
        """Return the names of the tensors of an upload that are gradients."""
        if self.site.scenario.federation.upload != "gradient":
            return set()
        block = message.content.config_records["config"].get(BLOCK_KEY)
        model = self.site.model(received, None if block is None else str(block))
        return {k for k, p in model.named_parameters() if p.requires_grad}


Answer = Callable[[Aggregation, ClientSide, Message, Context], Message]
"""``(aggregation, side, train message, context)`` to the reply; named by `Aggregation.client`."""


def examples_of(reply: Message) -> int:
    """Return the weight of a reply in the mean.

    Raises:
        UploadError: it is not a whole number.
    """
    examples = reply.content.metric_records["metrics"]["num-examples"]
    if not isinstance(examples, int):
        raise UploadError(f"num-examples is {examples}: expected a whole number")
    return examples
