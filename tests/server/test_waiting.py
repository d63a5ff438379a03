"""The adversary's queue is bounded in memory: training waits, or victims are skipped."""

import threading

import pytest
from flwr.app import ArrayRecord

from fedsim.server.victims import Listeners
from fedsim.server.waiting import BoundedQueue
from tests.fedsim.small import refusal, small
from tests.server.stubs import WAIT_S, Heard, Waiting, adversary, uploads_of
from tests.server.wire import global_weights

ATTACKED = "adversary={attack={name='dlg', evaluations=5}, queue_mb=0.001, queue_full='%s'}"


def never() -> bool:
    return False


def test_jobs_come_out_in_order_and_then_none() -> None:
    queue = BoundedQueue[str](10)
    for job in "abc":
        queue.put(job, 3, never)
    queue.end()
    assert [queue.get() for _ in range(4)] == ["a", "b", "c", None]


def test_a_full_queue_waits_until_there_is_room() -> None:
    queue = BoundedQueue[str](10)
    queue.put("a", 9, never)
    assert not queue.fits(2)
    waiting = threading.Thread(target=queue.put, args=("b", 2, never))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    assert queue.get() == "a"
    waiting.join(WAIT_S)
    assert queue.get() == "b"


def test_an_empty_queue_takes_a_job_of_any_size() -> None:
    queue = BoundedQueue[str](1)
    queue.put("a", 10**9, never)
    assert queue.get() == "a"


def test_nobody_waits_in_vain() -> None:
    queue = BoundedQueue[str](1)
    queue.put("a", 1, never)
    queue.put("b", 1, lambda: True)
    queue.end()
    queue.put("c", 1, never)
    assert [queue.get(), queue.get()] == ["a", None]


@pytest.mark.parametrize("policy", ["wait", "skip"])
def test_training_waits_or_victims_are_skipped_and_told(policy: str) -> None:
    scenario, heard, attack = small(ATTACKED % policy), Heard(), Waiting()
    skipped: list[tuple[int, list[int]]] = []
    told = heard.listeners()
    listeners = Listeners(
        told.on_outcome,
        on_round_done=told.on_round_done,
        on_skipped=lambda server_round, clients: skipped.append((server_round, list(clients))),
    )
    attacker = adversary(scenario, listeners, attack)
    arrays, uploads = ArrayRecord(global_weights(scenario)), uploads_of(scenario)

    def train() -> None:
        for server_round in (1, 2, 3):
            attacker.intercept(server_round, arrays, uploads)
            assert attack.started.wait(WAIT_S)

    training = threading.Thread(target=train)
    training.start()
    if policy == "skip":
        training.join(WAIT_S)
        assert skipped == [(3, [0, 1, 2])]
    else:
        training.join(0.3)
        assert training.is_alive()
    attack.released.set()
    training.join(WAIT_S)
    attacker.finish()
    assert heard.rounds == ([1, 2] if policy == "skip" else [1, 2, 3])
    assert (skipped == []) == (policy == "wait")


def test_rounds_together_cannot_skip() -> None:
    said = refusal(
        "adversary={attack='dlg', rounds_together=true, queue_full='skip'}",
    )
    assert "adversary.queue_full = 'wait'" in said


def test_who_waits_goes_on_when_the_jobs_are_done() -> None:
    queue = BoundedQueue[str](10)
    queue.wait_until_done(never)
    queue.put("a", 1, never)
    waiting = threading.Thread(target=queue.wait_until_done, args=(never,))
    waiting.start()
    assert queue.get() == "a"
    waiting.join(0.3)
    assert waiting.is_alive()  # it was taken, and is not done
    queue.end()
    assert queue.get() is None
    waiting.join(WAIT_S)
    assert not waiting.is_alive()


def test_nobody_waits_for_jobs_that_nobody_does() -> None:
    queue = BoundedQueue[str](10)
    queue.put("a", 1, never)
    queue.wait_until_done(lambda: True)


@pytest.mark.parametrize("in_turns", [False, True])
def test_training_and_attacks_take_turns_if_asked(in_turns: bool) -> None:
    scenario, heard, attack = small(ATTACKED % "wait"), Heard(), Waiting()
    attacker = adversary(scenario, heard.listeners(), attack, in_turns=in_turns)
    weights = ArrayRecord(global_weights(scenario))
    training = threading.Thread(target=attacker.intercept, args=(1, weights, uploads_of(scenario)))
    training.start()
    assert attack.started.wait(WAIT_S)
    training.join(0.3)
    assert training.is_alive() is in_turns
    attack.released.set()
    training.join(WAIT_S)
    assert not training.is_alive()
    if in_turns:
        assert heard.rounds == [1]
    attacker.finish()
