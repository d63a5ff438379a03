"""Attacks side by side: at once, in processes, with the results of one after another."""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
import torch

from fedsim.attacks import DLG, IDLG, Attack, Progress, Reconstruction
from fedsim.attacks.types import OnProgress, ShouldStop, never_stop
from fedsim.core.errors import AttackError
from fedsim.models import LeNet
from fedsim.server import processes
from fedsim.server.processes import call, prepare
from fedsim.server.side_by_side import SideBySide
from fedsim.server.solving import Job, Solved, Solver, here
from tests.server.stubs import WAIT_S, Failing, Stub
from tests.victims import random_victims

VICTIMS = random_victims((1, 8, 8), count=2, spec=LeNet())


@dataclass(frozen=True, eq=False)
class Meeting(Stub):
    """Ends once another one of its type is running; prints, and notes the process."""

    own: str = ""
    other: str = ""

    def work(self, *_: object) -> None:
        """Wait for the other one."""
        print("what an attack prints is no answer")  # noqa: T201
        Path(self.own).write_text(f"{os.getpid()} {torch.get_num_threads()}")
        until = time.monotonic() + WAIT_S
        while not Path(self.other).exists():
            assert time.monotonic() < until
            time.sleep(0.01)


@dataclass(frozen=True, eq=False)
class Dying(Stub):
    """Ends its process."""

    def work(self, *_: object) -> None:
        """End."""
        os._exit(3)


@dataclass(frozen=True, eq=False)
class Deaf(Stub):
    """Tells of its progress, and hears nothing."""

    def work(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        """Go on."""
        for evaluation in range(1_000_000):
            time.sleep(0.05)
            on_progress(Progress(torch.tensor([1]), evaluation, 9, torch.ones(1), quarter))


@dataclass(frozen=True, eq=False)
class Hearing(Stub):
    """Goes on until it is told to stop."""

    def work(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        """Go on."""
        while not should_stop():
            time.sleep(0.01)


def quarter() -> torch.Tensor:
    """Return a dark picture."""
    return torch.tensor(0.25)


def _fail() -> None:
    raise ImportError("there is no such module here")


@dataclass(frozen=True, eq=False)
class Leaving(Stub):
    """Ends its process as one that was given nothing to do."""

    parent: int = 0

    def work(self, *_: object) -> None:
        """End."""
        if os.getpid() != self.parent:
            os._exit(0)


class OnlyHere:
    """Can be sent, but not be read."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _fail, ()

    def __deepcopy__(self, memo: object) -> Self:
        return self


@dataclass(frozen=True, eq=False)
class Holding(Stub):
    """Holds something."""

    held: object = field(default_factory=OnlyHere)


def begin(
    solver: Solver,
    attack: Attack,
    on_progress: OnProgress = lambda progress: None,
    should_stop: ShouldStop = never_stop,
) -> Callable[[], Solved]:
    job = Job(attack, VICTIMS.model, VICTIMS.observations(), seed=3)
    return solver(job, on_progress, should_stop)


def solved(solver: Solver, attacks: Sequence[Attack]) -> list[Reconstruction]:
    begun = [begin(solver, attack) for attack in attacks]
    return [found for wait in begun for found in wait().found]


@pytest.mark.slow
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


@pytest.mark.slow
def test_at_once_in_processes_with_their_own_threads(tmp_path: Path) -> None:
    places = [str(tmp_path / name) for name in ("one", "other")]
    attacks = [Meeting(own=a, other=b) for a, b in (places, places[::-1])]
    assert len(solved(SideBySide(2, threads=3), attacks)) == 4
    noted = [Path(place).read_text().split() for place in places]
    assert len({os.getpid(), *(int(pid) for pid, _ in noted)}) == 3
    assert {int(threads) for _, threads in noted} == {3}
    assert not attacks[0].calls  # its copy was called


@pytest.mark.slow
def test_what_it_raises_is_raised_and_its_process_serves_on() -> None:
    with pytest.raises(ArithmeticError, match="diverged"):
        begin(SideBySide(2), Failing())()
    resting = set(processes._resting)
    assert begin(SideBySide(2), Stub())().found
    assert set(processes._resting) == resting


@pytest.mark.slow
@pytest.mark.parametrize("held", [threading.Lock(), OnlyHere()], ids=["unsent", "unread"])
def test_what_cannot_be_sent_is_computed_here(held: object) -> None:
    attack = Holding(held=held)
    if isinstance(held, OnlyHere):
        assert begin(SideBySide(2), attack)().found
        return
    with pytest.raises(TypeError, match="pickle"):  # nor can it be copied
        begin(SideBySide(2), attack)()


@pytest.mark.slow
def test_a_process_that_dies_is_told_and_replaced() -> None:
    with pytest.raises(AttackError, match="exit code 3"):
        begin(SideBySide(2), Dying())()
    assert begin(SideBySide(2), Stub())().found


@pytest.mark.slow
def test_progress_is_told_and_an_attack_that_hears_nothing_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "PATIENCE_S", 0.5)
    told: list[Progress] = []
    with pytest.raises(AttackError, match="did not stop"):
        begin(SideBySide(2), Deaf(), told.append, lambda: len(told) > 1)()
    assert [p.victims.tolist() for p in told[:2]] == [[1], [1]]
    assert told[0].evaluation < told[1].evaluation
    assert told[0].data().item() == 0.25


@pytest.mark.slow
def test_an_attack_that_is_told_to_stop_returns_what_it_has() -> None:
    assert len(begin(SideBySide(2), Hearing(), should_stop=lambda: True)().found) == 2
    assert begin(SideBySide(2), Stub())().found  # the next one is not told


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false", None])
def test_where_no_process_can_be_started_it_is_computed_here(
    program: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_resting", [])
    monkeypatch.setattr(sys, "executable", program)
    prepare(1, wait=True)
    assert begin(SideBySide(2), Stub())().found
    assert call(1, os.getpid) == os.getpid()


@pytest.mark.slow
def test_a_process_that_had_just_rested_long_enough_loses_no_attack() -> None:
    assert begin(SideBySide(2), Leaving(parent=os.getpid()))().found
