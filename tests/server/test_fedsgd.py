"""FedSGD against its closed form."""

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Error, Message
from torch import Tensor

from fedsim.clients.app import make_client_app
from fedsim.engine.inline import InlineGrid
from fedsim.server.fedsgd import FedSGD
from tests.fedsim.small import small
from tests.server.wire import reply_of, train_message

pytestmark = pytest.mark.numeric

WEIGHTS = {
    "w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    "mean": torch.tensor([5.0, 6.0]),
    "count": torch.tensor(7),
}


def upload(seed: int, examples: int = 1, **arrays: Tensor) -> Message:
    rng = torch.Generator().manual_seed(seed)
    random = {"w": torch.randn(2, 2, generator=rng), "mean": torch.randn(2, generator=rng)}
    return reply_of({**random, "count": torch.tensor(8), **arrays}, examples=examples)


def step(replies: list[Message], rate: float = 0.5) -> dict[str, Tensor]:
    strategy = FedSGD(rate, ["w"])
    grid = InlineGrid(make_client_app(small().to_toml()), len(replies))
    strategy.configure_train(1, ArrayRecord(dict(WEIGHTS)), ConfigRecord(), grid)
    arrays, _ = strategy.aggregate_train(1, replies)
    assert arrays is not None
    return dict(arrays.to_torch_state_dict())


def sent(reply: Message, name: str) -> Tensor:
    return reply.content["arrays"].to_torch_state_dict()[name]


def test_one_step_along_the_gradient() -> None:
    reply = upload(0)
    after = step([reply])
    torch.testing.assert_close(after["w"], WEIGHTS["w"] - 0.5 * sent(reply, "w"))
    assert torch.equal(after["mean"], sent(reply, "mean"))
    assert after["count"] == torch.tensor(8)


def test_the_step_is_along_the_mean_weighted_by_examples() -> None:
    replies = [upload(0, 1), upload(1, 3), upload(2, 4)]
    after = step(replies, rate=0.1)
    shares = (1 / 8, 3 / 8, 4 / 8)
    for name, start, rate in (("w", WEIGHTS["w"], -0.1), ("mean", torch.zeros(2), 1.0)):
        weighted = [s * sent(r, name) for s, r in zip(shares, replies, strict=True)]
        torch.testing.assert_close(after[name], start + rate * sum(weighted))


@pytest.mark.parametrize("clients", range(1, 12))
def test_counters_are_rounded_and_not_cut_off(clients: int) -> None:
    after = step([upload(n, count=torch.tensor(1)) for n in range(clients)])
    assert after["count"] == torch.tensor(1)


def test_types_and_shapes_stay_those_of_the_model() -> None:
    doubles = {"w": torch.ones(2, 2).double(), "mean": torch.ones(2).double()}
    after = step([upload(0, **doubles), upload(1)])
    assert {k: (v.dtype, v.shape) for k, v in after.items()} == {
        k: (v.dtype, v.shape) for k, v in WEIGHTS.items()
    }


def test_a_buffer_that_is_not_sent_stays() -> None:
    reply = reply_of({"w": torch.zeros(2, 2)})
    after = step([reply])
    assert torch.equal(after["mean"], WEIGHTS["mean"])
    assert torch.equal(after["count"], WEIGHTS["count"])


def test_without_a_gradient_there_is_no_step() -> None:
    strategy = FedSGD(0.5, ["w"])
    failed = Message(Error(code=2, reason="no"), reply_to=train_message({}))
    assert strategy.aggregate_train(1, [failed]) == (None, None)
    assert strategy.aggregate_train(1, []) == (None, None)
