"""Checks remember numbers in the client's Flower state."""

from flwr.app import Context, RecordDict

from fedsim.clients.memory import remember, remembered
from fedsim.engine.checkpoints import keeps_states
from tests.fedsim.small import groups, small


def test_numbers_of_each_defense_come_back_under_its_position() -> None:
    context = Context(1, 2, {}, RecordDict(), {})
    assert remembered(context, 3) == {}
    remember(context, {0: {"0": 0.5}, 2: {"0": 1.0, "1": 2.0}})
    remember(context, {0: {"0": 0.25}})
    assert remembered(context, 3) == {0: {"0": 0.25}, 2: {"0": 1.0, "1": 2.0}}


def test_a_run_with_such_a_check_keeps_the_clients_states() -> None:
    assert keeps_states(small(groups("['loss-jump']")))
    assert not keeps_states(small(groups("['dead-units']")))
