"""One reply of each client that was asked."""

from collections.abc import Iterable

from flwr.app import Message

from fedsim.clients.app import make_client_app
from fedsim.engine.inline import InlineGrid
from fedsim.server.replies import AGAIN, UNASKED, OneReplyEach
from tests.fedsim.small import small
from tests.server.wire import reply_of, train_message


class Talkative(InlineGrid):
    """Returns what it is told to, whatever is asked."""

    def __init__(self, *replies: Message) -> None:
        super().__init__(make_client_app(small().to_toml()), 2)
        self.replies = replies

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        return list(self.replies)


def test_second_replies_and_those_of_unknown_nodes_are_ignored_and_told() -> None:
    replies = [reply_of({}, node=node, examples=i) for i, node in enumerate((1, 9, 1, 2), 1)]
    notes: list[tuple[int | None, int | None, str]] = []
    grid = OneReplyEach(Talkative(*replies), {1: 4, 2: 7}, lambda *note: notes.append(note))
    found = list(grid.send_and_receive([train_message({}, 3, node) for node in (1, 2)]))
    assert found == [replies[0], replies[3]]
    assert notes == [(3, None, UNASKED), (3, 4, AGAIN)]


def test_nothing_asked_is_nothing_found() -> None:
    grid = OneReplyEach(Talkative(reply_of({})), {}, lambda *note: None)
    assert list(grid.send_and_receive([])) == []
