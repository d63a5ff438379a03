"""A reply is read once for all strategies, and again for whoever expects something else."""

import torch

from fedsim.server.readings import Readings
from fedsim.server.uploads import Limits
from tests.server.wire import reply_of

SHAPES = {"w": (2,)}
LIMITS = Limits({"w": torch.float32})


def test_a_reply_is_read_once() -> None:
    readings, reply = Readings(), reply_of({"w": torch.ones(2)})
    upload = readings.read(reply, 0, SHAPES, LIMITS)
    assert upload.problem is None
    assert readings.read(reply, 0, SHAPES, LIMITS) is upload


def test_who_expects_something_else_gets_an_own_reading() -> None:
    readings, reply = Readings(), reply_of({"w": torch.ones(2)})
    assert readings.read(reply, 0, SHAPES, LIMITS).problem is None
    assert readings.read(reply, 0, {"w": (3,)}, LIMITS).problem is not None
    assert readings.read(reply, 0, SHAPES, Limits({"w": torch.float32}, {0: 0})).problem is not None
    assert readings.read(reply, 1, SHAPES, LIMITS).partition == 1


def test_a_forgotten_reply_is_read_again() -> None:
    readings, reply = Readings(), reply_of({"w": torch.ones(2)})
    upload = readings.read(reply, 0, SHAPES, LIMITS)
    readings.forget()
    assert readings.read(reply, 0, SHAPES, LIMITS) is not upload


def test_another_reply_is_not_taken_for_one_that_is_gone() -> None:
    """An address is used again, but a reply that is known is kept alive."""
    readings = Readings()
    for number in range(50):
        reply = reply_of({"w": torch.full((2,), float(number))})
        read = readings.read(reply, 0, SHAPES, LIMITS)
        assert float(read.arrays["w"][0]) == number
