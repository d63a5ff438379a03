"""The quickstart's federation learns while it is attacked.

``uv run pytest -m paper -s tests/paper/test_quickstart_learns.py``: a minute of one core, without
the attacks, which do not touch the training.
"""

from pathlib import Path

import pytest

from fedsim.engine import run
from fedsim.log.run import Run
from fedsim.scenario import load_scenario


@pytest.mark.paper
@pytest.mark.timeout(1200)
def test_the_accuracy_rises_well_above_a_guess(tmp_path: Path) -> None:
    scenario = load_scenario("quickstart").model_copy(update={"adversary": None})
    run(scenario, tmp_path / "run")
    found = Run.read(tmp_path / "run")
    accuracy = found.summary.accuracy
    print({number: f"{value:.1%}" for number, value in accuracy.items()})  # noqa: T201
    assert found.start.chance == pytest.approx(0.1)
    assert accuracy[0] < 0.15
    assert accuracy[max(accuracy)] > 0.35
