"""Inline engine: server and clients in this process, one client after another.

It starts at once, is deterministic, works under a debugger, and keeps the clients' states, so that
an unfinished run goes on from its last checkpoint.
"""

import copy
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flwr.app import ArrayRecord, Context, Error, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedsim.core.arrays import of_kind
from fedsim.core.errors import UploadError
from fedsim.engine.flower import identify_task

CLIENT_APP_RAISED = 2
RUN_ID = 1
FIRST_NODE_ID = 1


class InlineGrid(Grid):
    """A grid whose nodes are contexts in this process.

    Args:
        client_app: the ClientApp of each node.
        clients: number of nodes; node ``p + 1`` holds partition ``p``.
        run_config: the run config of each node.
    """

    def __init__(
        self,
        client_app: Callable[[Message, Context], Message],
        clients: int,
        run_config: UserConfig | None = None,
    ) -> None:
        identify_task()
        self._client_app = client_app
        self._run = Run.create_empty(RUN_ID)
        self._replies: dict[str, Message] = {}
        self._contexts = {
            FIRST_NODE_ID + p: Context(
                run_id=RUN_ID,
                node_id=FIRST_NODE_ID + p,
                node_config={"partition-id": p, "num-partitions": clients},
                state=RecordDict(),
                run_config=dict(run_config or {}),
            )
            for p in range(clients)
        }

    def set_run(self, run: Run) -> None:
        """Set the run that this grid operates in."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that this grid operates in."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a new message to a node."""
        return Message(
            content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl
        )

    def client_states(self) -> Mapping[int, RecordDict]:
        """Return the Flower state of each client that has one, by partition."""
        found = {node - FIRST_NODE_ID: c.state for node, c in self._contexts.items()}
        return {partition: state for partition, state in found.items() if state}

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Give clients their Flower states back."""
        for partition, state in states.items():
            if FIRST_NODE_ID + partition in self._contexts:
                self._contexts[FIRST_NODE_ID + partition].state = state

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Run the client app on each message and keep its reply."""
        ids = []
        for number, message in enumerate(messages):
            message_id = f"{number}-{id(message)}-{len(self._replies)}"
            self._replies[message_id] = self._answer(message)
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to pushed messages."""
        return [self._replies.pop(i) for i in message_ids]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Push messages and return their replies; nothing waits here, so there are no time-outs."""
        return self.pull_messages(self.push_messages(messages))

    def _answer(self, message: Message) -> Message:
        context = self._contexts[message.metadata.dst_node_id]
        try:
            return _checked(self._client_app(_received(message), context), message)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, too, ends the client and not the run
            last = traceback.format_exception_only(error)[-1].strip()
            return Message(Error(code=CLIENT_APP_RAISED, reason=last), reply_to=message)


def _received(message: Message) -> Message:
    """Return a copy of a message, as a client gets it over a network.

    It shares the bytes of arrays, which cannot change.
    """
    shared: dict[int, Any] = {}
    if message.has_content():
        for record in of_kind(message.content, ArrayRecord).values():
            shared |= {id(x): copy.copy(x) for x in record.values() if type(x.data) is bytes}
    return copy.deepcopy(message, shared)


def _checked(reply: object, asked: Message) -> Message:
    """Return the reply of a client, which can be anything, if it is one to its message.

    Raises:
        UploadError: it is not.
    """
    if not isinstance(reply, Message):
        raise UploadError(f"expected a Message as the reply, not {type(reply).__name__}")
    if reply.metadata.src_node_id != asked.metadata.dst_node_id:
        raise UploadError("the reply is in the name of another node")
    return reply


def run_inline(server: Callable[[Grid], None], client_app: ClientApp, clients: int) -> None:
    """Run a server function against clients in this process.

    Args:
        server: function of the ServerApp, called with its grid.
        client_app: the ClientApp of each client.
        clients: number of clients.
    """
    server(InlineGrid(client_app, clients))
