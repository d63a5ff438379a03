"""Every attack of a malicious server is told in one place: change, gain, and who noticed."""

from pathlib import Path

import pytest

from fedsim.core.registry import MANIPULATIONS
from fedsim.engine.run import run
from fedsim.log.reader import read_records
from fedsim.log.run import Run
from fedsim.log.summary import summarise
from fedsim.show.explain import explain
from fedsim.show.malice import malice_said
from fedsim.show.report.run import write_run
from fedsim.show.threat import threat_said
from tests.fedsim.small import small

RELU = "model={name='mlp', hidden=[64], activation='relu'}"
CONVOLUTIONS = "model={name='convnet', channels=[4, 8], activation='relu', hidden=[64]}"
SECURE = "federation.aggregation={name='secagg+', shares=3, reconstruction_threshold=2}"
READ = "adversary.attack='dense-rows'"
TEXTS = ("data.dataset='messages'", "model={name='bert'}")
ATTACKS = {
    "trap-weights": ("'trap-weights'", "G", "weight-statistics", [RELU]),
    "trap-weights-conv": ("'trap-weights'", "G", "dead-units", [CONVOLUTIONS]),
    "imprint": ("{name='imprint', bins=64}", "G", "architecture-drift", [RELU]),
    "imprint-summed": ("{name='imprint', bins=64}", "G", "architecture-drift", [RELU, SECURE]),
    "fishing": ("{name='fishing', label=0}", "F", "dead-units", [RELU]),
    "fishing-feature": ("{name='fishing', label=0, by='feature'}", "G", "dead-units", [RELU]),
    "scale-mia": ("'scale-mia'", "G", "weight-statistics", [RELU]),
    "decepticon": ("'decepticon'", "G", "dead-units", TEXTS),
    "inconsistent-models": ("'inconsistent-models'", "G", "model-agreement", [RELU, SECURE, READ]),
    "imprint-parts": ("{name='imprint-parts', bins=16}", "G", "model-agreement", [RELU, SECURE]),
    "invented-clients": ("'invented-clients'", "H", "model-agreement", [RELU, SECURE, READ]),
    "one-alone": (
        "{name='invented-clients', count=0}",
        "H",
        "model-agreement",
        [RELU, SECURE, READ],
    ),
}
CHECKS = ("architecture-drift", "weight-statistics", "dead-units", "model-agreement")


def test_every_registered_attack_is_tried() -> None:
    tried = {plan.split("'")[1] for plan, *_ in ATTACKS.values()}
    assert tried == set(MANIPULATIONS.names())


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_one_sentence_names_change_gain_and_who_noticed(tmp_path: Path, name: str) -> None:
    plan, letter, check, settings = ATTACKS[name]
    checks = ", ".join(f"{{name='{c}', action='warn'}}" for c in CHECKS)
    scenario = small(
        f"adversary={{malicious={plan}, rounds=[1], per_round=1}}",
        *settings,
        f"clients=[{{name='looks', count=3, defenses=[{checks}]}}]",
        "federation.rounds=1",
        "federation.batch_size=4",
    )
    folder = run(scenario, tmp_path / "run")
    summary = summarise(read_records(folder))
    [said] = malice_said(summary)
    [sent] = summary.manipulations
    assert said.startswith(f"Round 1: the server {sent.what}")
    _, asked = summary.taken[1]
    assert asked > 0
    things = summary.measure.things
    assert f" of {asked} {things} " in said
    assert f"by {check}, warned only" in said
    assert said.replace("'", "&#39;") in write_run(folder).read_text("utf-8")
    [model, _] = threat_said(Run.read(folder).scenario, summary)
    assert f": {letter} in the letters of" in model
    for explanation in explain(folder):
        assert all("optimiser" not in f.cause for f in explanation.findings), explanation.findings
