"""Attacks side by side: at once, on copies, with the results of one after another."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch

from fedsim.attacks import DLG, IDLG, Attack, Reconstruction
from fedsim.attacks.types import never_stop
from fedsim.models import LeNet
from fedsim.server.solving import Job, SideBySide, Solved, Solver, here
from tests.server.stubs import WAIT_S, Failing, Stub
from tests.victims import random_victims

VICTIMS = random_victims((1, 8, 8), count=2, spec=LeNet())
MEETING = threading.Barrier(2)


@dataclass(frozen=True, eq=False)
class Meeting(Stub):
    """Ends once another one of its type is running."""

    def work(self, *_: object) -> None:
        """Wait for the other one."""
        MEETING.wait(WAIT_S)


def begin(solver: Solver, attack: Attack) -> Callable[[], Solved]:
    job = Job(attack, VICTIMS.model, VICTIMS.observations(), seed=3)
    return solver(job, lambda progress: None, never_stop)


def solved(solver: Solver, attacks: Sequence[Attack]) -> list[Reconstruction]:
    begun = [begin(solver, attack) for attack in attacks]
    return [found for wait in begun for found in wait().found]


def test_as_one_after_another() -> None:
    attacks = [IDLG(evaluations=30), DLG(evaluations=30), IDLG(evaluations=20)]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = solved(here, attacks)
        got = solved(SideBySide(2), attacks)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(expected, got, strict=True):
        assert one.data is not None
        assert other.data is not None
        assert torch.equal(one.data, other.data)
        assert one.evaluations == other.evaluations


def test_at_once() -> None:
    solved(SideBySide(2), [Meeting(), Meeting()])


def test_on_copies_and_its_own_threads() -> None:
    attack, calls, threads = Stub(), [], []

    class Noting(Stub):
        def work(self, *_: object) -> None:
            calls.append(self.calls[-1].model)
            threads.append(torch.get_num_threads())

    before = torch.get_num_threads()
    solved(SideBySide(2, threads=3), [Noting(), Noting(), attack])
    assert threads == [3, 3]
    assert torch.get_num_threads() == before
    assert calls[0] is not calls[1]
    assert VICTIMS.model not in calls
    assert not attack.calls  # its copy was called


def test_what_it_raises_is_raised() -> None:
    wait = begin(SideBySide(2), Failing())
    with pytest.raises(ArithmeticError, match="diverged"):
        wait()
