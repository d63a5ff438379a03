"""The inline engine's grid: a network without a network."""

from collections.abc import Iterable

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedsim.engine.inline import CLIENT_APP_RAISED, InlineGrid, run_inline


def messages(grid: InlineGrid, **config: int) -> Iterable[Message]:
    content = RecordDict({"config": ConfigRecord(dict(config))})
    return [grid.create_message(content, "train", node, "1") for node in grid.get_node_ids()]


def app_of(train: object) -> ClientApp:
    app = ClientApp()
    app.train()(train)  # type: ignore[arg-type]
    return app


def echo(message: Message, context: Context) -> Message:
    partition = int(context.node_config["partition-id"])
    return Message(RecordDict({"m": MetricRecord({"partition": partition})}), reply_to=message)


def test_every_node_has_a_partition_and_answers_in_order() -> None:
    grid = InlineGrid(app_of(echo), 4)
    replies = list(grid.send_and_receive(messages(grid)))
    assert [r.content["m"]["partition"] for r in replies] == [0, 1, 2, 3]
    assert [r.metadata.src_node_id for r in replies] == list(grid.get_node_ids())


def test_replies_are_pulled_once_and_by_name() -> None:
    grid = InlineGrid(app_of(echo), 3)
    first = list(grid.push_messages(messages(grid)))
    second = list(grid.push_messages(messages(grid)))
    assert len({*first, *second}) == 6
    assert [r.content["m"]["partition"] for r in grid.pull_messages(second[::-1])] == [2, 1, 0]
    assert [r.content["m"]["partition"] for r in grid.pull_messages(first)] == [0, 1, 2]
    with pytest.raises(KeyError):
        grid.pull_messages(first)


def test_a_client_cannot_reach_the_servers_own_message() -> None:
    def vandal(message: Message, context: Context) -> Message:
        message.content["config"]["server-round"] = 99
        message.content["extra"] = ArrayRecord()
        return echo(message, context)

    grid = InlineGrid(app_of(vandal), 1)
    [sent] = messages(grid, **{"server-round": 1})
    list(grid.send_and_receive([sent]))
    assert dict(sent.content["config"]) == {"server-round": 1}
    assert list(sent.content) == ["config"]


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_client_cannot_reach_the_servers_own_arrays(kind: type[bytes | bytearray]) -> None:
    def vandal(message: Message, context: Context) -> Message:
        arrays = message.content.array_records["arrays"]
        taken = arrays["x"].data
        if isinstance(taken, bytearray):
            taken[0] = 0
        arrays["x"].data, arrays["x"].shape = b"", (0,)
        del arrays["y"]
        return echo(message, context)

    def made() -> ArrayRecord:
        record = ArrayRecord()
        record["x"] = record["y"] = Array("float32", (2,), "numpy.ndarray", b"12345678")
        record["x"].data = kind(record["x"].data)
        return record

    grid = InlineGrid(app_of(vandal), 2)
    sent = messages(grid)
    for each in sent:
        each.content["arrays"] = made()
    replies = list(grid.send_and_receive(sent))
    assert not any(reply.has_error() for reply in replies)
    assert all(each.content["arrays"] == made() for each in sent)


def test_a_client_keeps_its_state_and_no_others() -> None:
    def count(message: Message, context: Context) -> Message:
        before = context.state.metric_records.get("seen", MetricRecord({"n": 0}))
        context.state["seen"] = MetricRecord({"n": before["n"] + 1})
        return Message(RecordDict({"m": context.state["seen"]}), reply_to=message)

    grid = InlineGrid(app_of(count), 2)
    one, _ = messages(grid)
    for number in (1, 2, 3):
        [reply] = grid.send_and_receive([one])
        assert reply.content["m"]["n"] == number
    assert [r.content["m"]["n"] for r in grid.send_and_receive(messages(grid))] == [4, 1]


def test_a_client_that_fails_is_an_error_reply() -> None:
    def fail(message: Message, context: Context) -> Message:
        raise OSError("no power")

    grid = InlineGrid(app_of(fail), 1)
    [reply] = grid.send_and_receive(messages(grid))
    assert reply.error.code == CLIENT_APP_RAISED
    assert reply.error.reason == "OSError: no power"
    assert reply.metadata.src_node_id == next(iter(grid.get_node_ids()))


def test_an_interrupt_is_not_swallowed() -> None:
    def interrupt(message: Message, context: Context) -> Message:
        raise KeyboardInterrupt

    grid = InlineGrid(app_of(interrupt), 1)
    with pytest.raises(KeyboardInterrupt):
        grid.send_and_receive(messages(grid))


def test_the_engine_gives_the_server_a_grid_of_all_clients() -> None:
    seen: list[int] = []

    def server(grid: Grid) -> None:
        seen.extend(grid.get_node_ids())

    run_inline(server, app_of(echo), 5)
    assert len(set(seen)) == 5


def test_a_client_that_exits_is_an_error_reply() -> None:
    def leave(message: Message, context: Context) -> Message:
        raise SystemExit(3)

    grid = InlineGrid(app_of(leave), 1)
    [reply] = grid.send_and_receive(messages(grid))
    assert reply.error.reason == "SystemExit: 3"


@pytest.mark.parametrize("found", [None, "text", RecordDict()])
def test_a_reply_that_is_not_a_message_is_an_error_reply(found: object) -> None:
    grid = InlineGrid(lambda message, context: found, 1)  # type: ignore[arg-type, return-value]
    [reply] = grid.send_and_receive(messages(grid))
    assert "expected a Message as the reply" in reply.error.reason


def test_a_client_cannot_reply_in_the_name_of_another() -> None:
    def forge(message: Message, context: Context) -> Message:
        own = Message(message.content, dst_node_id=2, message_type="train")
        return Message(RecordDict(), reply_to=own)

    grid = InlineGrid(forge, 2)
    first, second = grid.send_and_receive(messages(grid))
    assert "in the name of another node" in first.error.reason
    assert second.has_content()
