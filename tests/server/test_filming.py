"""A film beside a computed result changes no result."""

import pytest

from fedsim.engine import run
from fedsim.log.run import Run
from fedsim.log.schema import CONTROL, LeakageRecord, ReconstructionRecord
from tests.fedsim.small import small

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
