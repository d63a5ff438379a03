"""A film beside a computed result changes no result."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fedsim.attacks import Reconstruction, Snapshot, Status
from fedsim.attacks.types import OnProgress, ShouldStop
from fedsim.engine import run
from fedsim.log.run import Run
from fedsim.log.schema import CONTROL, LeakageRecord, ReconstructionRecord
from fedsim.server.filming import Filming
from fedsim.server.victims import Victim
from tests.fedsim.small import small
from tests.server.stubs import Stub, run_rounds

BEST = [
    "federation.rounds=1",
    "federation.batch_size=1",
    "adversary.attack={ name = 'best', evaluations = 3 }",
    "clients.0.count=1",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    folder = tmp_path_factory.mktemp("films")
    found = {}
    for film in (0, 5):
        scenario = small(*BEST, f"adversary.film={film}")
        run(scenario, folder / str(film))
        found[film] = Run.read(folder / str(film))
    return found


def test_the_result_is_that_without_a_film(runs: dict[int, Run]) -> None:
    scores = {
        film: [(r.victim, r.score.metrics["psnr"]) for r in run.of_kind(LeakageRecord)]
        for film, run in runs.items()
    }
    assert scores[0] == scores[5]


def test_a_film_has_moments_and_ends_with_the_result(runs: dict[int, Run]) -> None:
    for record in runs[5].of_kind(ReconstructionRecord):
        arrays = runs[5].arrays(record.tensors)
        assert arrays is not None
        computed = record.status == "computed"
        assert record.film == (computed and record.who != CONTROL)
        if record.film:
            assert arrays["evaluations"].tolist()[0] == 1
            assert len(arrays["history"]) > 2
            assert (arrays["history"][-1] == arrays["reconstruction"]).all()
    assert any(r.film for r in runs[5].of_kind(ReconstructionRecord))
    assert not any(r.film for r in runs[0].of_kind(ReconstructionRecord))


@dataclass(frozen=True, eq=False)
class Computing(Stub):
    """Computes its results, and notes whether its time was over."""

    over: list[bool] = field(default_factory=list)

    def work(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        """Note whether the time is over."""
        self.over.append(should_stop())

    def _reconstruct(self, *args: Any, **named: Any) -> dict[int, Reconstruction]:
        history = (Snapshot(1, 1.0, torch.zeros(1)),)
        return {
            i: replace(r, status=Status.COMPUTED, history=history)
            for i, r in super()._reconstruct(*args, **named).items()
        }


def test_a_film_takes_no_time_from_attacks_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)

    def filmed(
        _self: Filming, _victim: Victim, found: Reconstruction, *_: object
    ) -> Reconstruction:
        clock.now += 400
        return found

    monkeypatch.setattr("fedsim.server.adversary.time", clock)
    monkeypatch.setattr("fedsim.server.adversary.alike", lambda victims: [[v] for v in victims])
    monkeypatch.setattr(Filming, "filmed", filmed)
    attack = Computing()
    run_rounds(small("adversary.film=5", "adversary.time_limit_s=500"), attack=attack)
    assert clock.now > 500
    assert attack.over == [False] * 4
