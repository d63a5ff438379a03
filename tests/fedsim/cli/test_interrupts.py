"""Ctrl-C is answered at once, and once."""

import signal

import pytest

from fedsim.cli.interrupts import answering


@pytest.fixture(autouse=True)
def usual() -> object:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_answer_comes_before_the_end() -> None:
    said = []
    with answering(lambda: said.append("stopping")):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    assert said == ["stopping"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_handlers_of_others_stay() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with answering(lambda: pytest.fail("told")):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
