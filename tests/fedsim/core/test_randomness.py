"""Threads that draw from the global random state do not disturb each other."""

import threading

import torch

from fedsim.core.randomness import global_randomness


def draws(seed: int) -> list[float]:
    with global_randomness(seed):
        return [float(torch.rand(())) for _ in range(3)]


def test_the_state_outside_is_left_alone() -> None:
    before = torch.get_rng_state()
    assert draws(1) == draws(1) != draws(2)
    with global_randomness():
        torch.rand(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_thread_waits() -> None:
    """The thread that would reseed in between gets its turn only after the first has ended."""
    expected, order = draws(1), []

    def other() -> None:
        with global_randomness(2):
            order.append("other")

    thread = threading.Thread(target=other)
    with global_randomness(1):
        first = [float(torch.rand(()))]
        thread.start()
        thread.join(timeout=0.2)
        order.append("this")
        first += [float(torch.rand(())) for _ in range(2)]
    thread.join()
    assert order == ["this", "other"]
    assert first == expected


def test_contexts_nest_in_one_thread() -> None:
    with global_randomness(1):
        first = float(torch.rand(()))
        assert draws(1)[0] == first
        second = float(torch.rand(()))
    assert [first, second] == draws(1)[:2]
