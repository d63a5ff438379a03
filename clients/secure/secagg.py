"""Client side of SecAgg+, with Flower's own mod.

This is the only module of the clients that uses Flower's mod, which was written for clients before
Flower's Message API: this module provides the interface that the mod expects.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
from flwr.app import Context, Message
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters
from flwr.compat.common.recorddict_compat import fitres_to_recorddict

from fedsim.clients.secure.side import ClientSide, examples_of
from fedsim.core.errors import UploadError
from fedsim.core.seeds import derive
from fedsim.scenario.aggregation import SecAggPlus

CLEAR = ("metrics", "defenses")
"""Records of a reply that stay in the clear."""


def masked(plan: SecAggPlus, side: ClientSide, message: Message, context: Context) -> Message:
    """Return the reply to a message of one of the protocol's stages.

    Masks are drawn from the operating system and differ in every run. The rounding to whole numbers
    is drawn from the run's seed, so that the sum, in which the masks cancel, is the same in every
    run.
    """
    vector_of = side.vector_of(plan.clipping_range, "clipping_range")

    def bridged(message: Message, context: Context) -> Message:
        reply = side.train(message, context)
        if reply.has_error():
            raise UploadError(reply.error.reason)
        vector = vector_of(message, reply).numpy()
        parameters = ndarrays_to_parameters([vector])
        result = FitRes(Status(Code.OK, ""), parameters, examples_of(reply), {})
        content = fitres_to_recorddict(result, keep_input=False)
        for name in CLEAR:
            if name in reply.content:
                content[name] = reply.content[name]
        np.random.seed(_rounding_seed(side.seed, message, context))  # noqa: NPY002  (Flower draws from it)
        return Message(content, reply_to=message)

    with _same_random_numbers_after():
        return secaggplus_mod(message, context, bridged)


def _rounding_seed(seed: int, message: Message, context: Context) -> int:
    server_round = message.content.config_records["config"]["server-round"]
    if not isinstance(server_round, int):
        raise UploadError(f"server-round is {server_round!r}: expected a whole number")
    partition = int(context.node_config["partition-id"])
    return derive(seed, "rounding", partition, server_round) % 2**32


@contextlib.contextmanager
def _same_random_numbers_after() -> Iterator[None]:
    """Restore the state of NumPy's global generator, with which Flower rounds."""
    before = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
