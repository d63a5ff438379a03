"""What clients hide of their uploads, where the scenario says that the server adds unseen."""

from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable
from torch import Tensor

from fedsim.clients.site import Site
from fedsim.core.errors import UploadError
from fedsim.core.vectors import differences, flat
from fedsim.scenario.aggregation import Ckks, SecAggPlus

VectorOf = Callable[[Message, Message], Tensor]
"""``(message, honest reply)`` to the vector that is hidden."""


def answer(site: Site, train: ClientAppCallable, message: Message, context: Context) -> Message:
    """Return the reply to a train message, hidden as the scenario says.

    Args:
        site: the scenario with its data.
        train: returns the reply in the clear, defended.
        message: from the server; of one stage of a protocol, if there is one.
        context: the client's.
    """
    aggregation = site.scenario.federation.aggregation
    if isinstance(aggregation, SecAggPlus):
        from fedsim.clients.secure.secagg import masked  # noqa: PLC0415  (what is not asked for is not loaded)

        vector_of = _vector_of(site, aggregation.clipping_range, "clipping_range")
        return masked(site.scenario.seed, train, vector_of, message, context)
    if isinstance(aggregation, Ckks):
        from fedsim.clients.secure.ckks import encrypted  # noqa: PLC0415

        return encrypted(train, _vector_of(site, aggregation.limit, "limit"), message, context)
    return train(message, context)


def _vector_of(site: Site, limit: float, parameter: str) -> VectorOf:
    federation, own = site.scenario.federation, set[str]()
    if federation.upload == "gradient":
        own = {k for k, p in site.architecture.named_parameters() if p.requires_grad}
    most = federation.batch_size * federation.local_steps

    def vector_of(message: Message, reply: Message) -> Tensor:
        received = message.content.array_records["arrays"].to_torch_state_dict()
        arrays = reply.content.array_records["arrays"].to_torch_state_dict()
        vector = flat(differences(arrays, received, own))
        # The server cannot look, so it is for the client to see that it spoils no sum. How far
        # outside a value is stays with the client.
        if not bool((vector.abs() <= limit).all()):
            raise UploadError(
                f"the upload holds a value outside of ±{limit:g}, which hidden sums cannot hold; "
                f"raise federation.aggregation.{parameter}, or clip what clients upload"
            )
        if not 0 < examples_of(reply) <= most:
            raise UploadError(f"num-examples is {examples_of(reply)}: expected 1 to {most}")
        return vector

    return vector_of


def examples_of(reply: Message) -> int:
    """Return the weight of a reply in the mean."""
    examples = reply.content.metric_records["metrics"]["num-examples"]
    if not isinstance(examples, int):
        raise UploadError(f"num-examples is {examples}: expected a whole number")
    return examples
