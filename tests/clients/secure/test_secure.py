"""What clients do before they hide an upload."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message

from fedsim.clients.app import make_client_app
from fedsim.clients.secure.answer import answer
from fedsim.clients.site import site_of
from fedsim.core.errors import UploadError
from fedsim.scenario import Scenario
from tests.fedsim.small import groups, small
from tests.server.secure.rounds import train
from tests.server.wire import context_of, global_weights, reply_of, train_message

SECURE = "federation={aggregation='secagg+', rounds=1, batch_size=2}"


def asked(case: Scenario, **said: str) -> Message:
    message = train_message(global_weights(case))
    message.content["ckks"] = ConfigRecord(said)
    return message


def test_plain_uploads_are_left_alone() -> None:
    case = small()
    reply = reply_of({})
    given: list[Message] = []

    def honest(message: Message, context: Context) -> Message:
        given.append(message)
        return reply

    message = train_message({})
    assert answer(site_of(case.to_toml()), honest, message, context_of(0)) is reply
    assert given == [message]


def test_rounding_leaves_the_global_generator_as_it_was() -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    train(small(SECURE))
    assert np.random.rand() == expected  # noqa: NPY002


def test_masked_vectors_are_whole_numbers_of_32_bits() -> None:
    case = small(SECURE)
    _, _, spy = train(case)
    assert spy.masked().keys() == {0, 1, 2}
    assert all(v.dtype == np.int64 for v in spy.masked().values())
    assert all(v.min() >= 0 and v.max() < 2**32 for v in spy.masked().values())


@pytest.mark.parametrize("aggregation", ["secagg+", "ckks"])
def test_a_message_of_no_stage_is_refused(aggregation: str) -> None:
    if aggregation == "ckks":
        pytest.importorskip("tenseal")
    case = small(f"federation.aggregation={aggregation}")
    app = make_client_app(case.to_toml())
    with pytest.raises((UploadError, KeyError)):
        app(asked(case, stage="whatever"), context_of(0))


def test_ciphertexts_need_keys() -> None:
    pytest.importorskip("tenseal")
    case = small("federation.aggregation=ckks")
    app = make_client_app(case.to_toml())
    with pytest.raises(UploadError, match="was absent when the keys were dealt"):
        app(asked(case, stage="encrypt"), context_of(0))


def test_a_value_that_the_sum_cannot_hold_is_not_told() -> None:
    noise = "[{name='gaussian-noise', std=100.0}]"
    table = "federation.aggregation={name='ckks', limit=1.0}"
    pytest.importorskip("tenseal")
    case = small(groups(noise, "[]", "[]"), table, "federation.rounds=1")
    _, seen, _ = train(case)
    why = seen.sums[1].dropped[0]
    assert "has a value outside of ±1" in why
    assert "raise federation.aggregation.limit" in why
    assert seen.sums[1].partitions == (1, 2)
