"""Client side of secure aggregation."""

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable

from fedsim.clients.secure.side import Answer, ClientSide
from fedsim.clients.site import Site


def answer(site: Site, train: ClientAppCallable, message: Message, context: Context) -> Message:
    """Return the reply to a train message, hidden by the scenario's aggregation.

    Args:
        site: the scenario with its data.
        train: returns the defended reply in the clear.
        message: the server's message, which belongs to one stage of a protocol, if there is one.
        context: the client's context.
    """
    aggregation = site.scenario.federation.aggregation
    if not aggregation.hides:
        return train(message, context)
    hidden: Answer = aggregation.side("client")
    return hidden(aggregation, ClientSide(site, train), message, context)
