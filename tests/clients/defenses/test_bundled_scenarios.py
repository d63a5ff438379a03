"""Honest rounds of the bundled scenarios raise no alarm of any check."""

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from fedsim.engine.run import run
from fedsim.log.malice import false_alarms
from fedsim.log.reader import read_records
from fedsim.log.summary import summarise
from fedsim.scenario import Scenario
from fedsim.scenario.files import bundled

CHECKS = ("architecture-drift", "weight-statistics", "dead-units", "model-agreement")
"""All but `single-example-dominance`, which measures a leak: wide honest networks, as that of
``malicious``, have one."""
ROUNDS = 2
HEAVY = "bert-figure"  # MiniLM's weights, which take most of a minute


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in bundled() if name != HEAVY])
def test_no_check_suspects_the_honest_model(name: str, tmp_path: Path) -> None:
    """Two rounds without the adversary, all clients with these checks."""
    raw = tomllib.loads((files("fedsim.scenarios") / f"{name}.toml").read_text("utf-8"))
    raw.pop("adversary", None)
    raw["federation"]["rounds"] = ROUNDS
    checks = [{"name": check, "action": "warn"} for check in CHECKS]
    count = sum(group["count"] for group in raw["clients"])
    raw["clients"] = [{"name": "checking", "count": count, "defenses": checks}]
    summary = summarise(read_records(run(Scenario.from_tables(raw, name), tmp_path / "run")))
    assert summary.checked == ROUNDS * count
    assert false_alarms(summary) == []
