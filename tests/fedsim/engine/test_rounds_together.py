"""The attacker over rounds: what the rounds of one run tell together."""

from pathlib import Path

import pytest

from fedsim.core.names import NAIVE, OVER_ROUNDS
from fedsim.engine import run
from fedsim.log.reader import of_kind, read_records
from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, ReconstructionRecord
from fedsim.scenario import Scenario
from fedsim.show.report.run_charts import run_charts
from fedsim.show.report.words import knew
from fedsim.show.view import view_of
from tests.fedsim.small import refusal, small

NOISE = "[{name='gaussian-noise', std=0.03}]"


def scenario(*overrides: str) -> Scenario:
    return small(
        "data.partition={name='iid', examples=1}",
        f"clients=[{{name='noisy', count=2, defenses={NOISE}}}]",
        "model.hidden=[16]",
        "federation={rounds=4, batch_size=1, learning_rate=0.01, evaluate_every=4}",
        "adversary={attack={name='idlg', evaluations=25}, rounds_together=true}",
        *overrides,
    )


@pytest.mark.slow
def test_rounds_together_tell_more_than_each(tmp_path: Path) -> None:
    case = scenario()
    folder = run(case, tmp_path / "run")
    leakage = of_kind(read_records(folder), LeakageRecord)
    for partition in range(2):
        own = [r for r in leakage if r.partition == partition]
        scores = {r.victim: r.score.metrics["psnr"] for r in own}
        single = [scores[r.victim] for r in own if r.attacker == NAIVE]
        [together] = [r for r in own if r.attacker == OVER_ROUNDS]
        assert len(single) == 4
        assert together.victim == f"r0004-c000{partition}-over-rounds"
        assert scores[together.victim] > max(single), (scores, single)
    explained = {
        r.attacker: r.explained for r in of_kind(read_records(folder), ReconstructionRecord)
    }
    assert explained[OVER_ROUNDS] is not None
    log = Run.read(folder)
    assert {row.attacker for row in log.summary.rows if row.group == "noisy"} == {
        NAIVE,
        OVER_ROUNDS,
    }
    cards = view_of(log).cards(log)
    assert any(a.attacker == OVER_ROUNDS for c in cards for a in c.attempts)
    assert run_charts(cards, log.summary)
    said = knew(case.model_dump(mode="json", exclude_none=True), ("picture", "pictures"))
    assert "attacked all of them together" in " ".join(said)


def test_clients_that_draw_other_batches_are_left_out(tmp_path: Path) -> None:
    case = scenario("data.partition.examples=2", "federation.rounds=2")
    leakage = of_kind(read_records(run(case, tmp_path / "run")), LeakageRecord)
    assert {r.attacker for r in leakage} == {NAIVE}


@pytest.mark.parametrize(
    "overrides",
    [
        ("federation={upload='update', local_steps=2}",),
        ("federation.aggregation='secagg+'",),
    ],
)
def test_uploads_that_cannot_be_combined_are_refused(overrides: tuple[str, ...]) -> None:
    said = refusal("adversary={rounds_together=true}", *overrides)
    assert "adversary.rounds_together needs single uploads of one local step" in said
