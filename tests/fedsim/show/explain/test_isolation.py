"""What a changed model did not isolate is explained as such, and not as a failed search."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedsim.engine.run import run
from fedsim.log.run import Run
from fedsim.show.explain import explain
from fedsim.show.explain.cases import cases
from fedsim.show.explain.isolation import not_isolated, reads_a_changed_model
from tests.fedsim.small import groups, small


@pytest.mark.slow
def test_a_changed_model_that_isolates_little(tmp_path: Path) -> None:
    scenario = small(
        groups("[{name='weight-statistics', action='warn'}]", count=2),
        "model={name='mlp', hidden=[16], activation='relu'}",
        "federation={rounds=1, batch_size=16}",
        "adversary={malicious='trap-weights', per_round=1}",
    )
    folder = run(scenario, tmp_path / "run")
    clients = next(e for e in explain(folder) if not e.case.is_control)
    [finding] = clients.findings
    assert finding.cause == "the changed model did not isolate them"
    assert "of 16 were not isolated" in finding.evidence
    assert clients.case.defenses == []
    honest = replace(cases(Run.read(folder))[0], scenario={"adversary": {"malicious": None}})
    assert not reads_a_changed_model(honest)
    assert not_isolated(honest, None) is None
