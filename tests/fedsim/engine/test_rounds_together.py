"""The attacker over rounds: what the rounds of one run tell together."""

from pathlib import Path
from statistics import fmean

import pytest

from fedsim.core.names import ADAPTIVE, NAIVE, OVER_ROUNDS, SUM
from fedsim.engine import run
from fedsim.log.reader import of_kind, read_records
from fedsim.log.run import Run
from fedsim.log.schema import Doubt, LeakageRecord, ReconstructionRecord
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
    assert "attacked all rounds so far together" in " ".join(said)


def test_clients_that_draw_other_batches_are_left_out(tmp_path: Path) -> None:
    case = scenario("data.partition.examples=2", "federation.rounds=2")
    leakage = of_kind(read_records(run(case, tmp_path / "run")), LeakageRecord)
    assert {r.attacker for r in leakage} == {NAIVE}


@pytest.mark.slow
def test_rounds_that_are_not_attacked_on_their_own_count_too(tmp_path: Path) -> None:
    case = scenario(
        "clients.0.count=3",
        "adversary={attack={name='idlg', evaluations=2}, per_round=1}",
        "adversary.rounds=[1, 4]",
        "adversary.rounds_together=true",
        "adversary.adaptive=true",
    )
    records = list(read_records(run(case, tmp_path / "run")))
    leakage = [r for r in of_kind(records, LeakageRecord) if not r.is_control]
    assert {(r.round, r.attacker) for r in leakage} == {
        *((r, a) for r in (1, 4) for a in (NAIVE, ADAPTIVE)),
        (4, OVER_ROUNDS),
    }
    assert len({r.partition for r in leakage}) == 1
    [together] = [r for r in leakage if r.attacker == OVER_ROUNDS]
    assert Doubt.ROUNDS_APART not in together.score.doubts
    singles = [r.score.doubts for r in leakage if r.attacker != OVER_ROUNDS]
    assert all(Doubt.ROUNDS_APART in doubts for doubts in singles if doubts)


@pytest.mark.slow
def test_sums_over_changing_cohorts_tell_more_than_each(tmp_path: Path) -> None:
    """One hidden unit: 805 equations for the 2,352 pixels of three clients; 6,440 of 8 rounds."""
    case = scenario(
        "clients=[{name='plain', count=4}]",
        "model.hidden=[1]",
        "federation.rounds=8",
        "federation.fraction=0.75",
        "federation.aggregation='secagg+'",
        "adversary.attack.evaluations=150",
    )
    folder = run(case, tmp_path / "run")
    records = list(read_records(folder))
    leakage = of_kind(records, LeakageRecord)
    joint = [r for r in leakage if r.attacker == OVER_ROUNDS]
    assert {r.victim for r in joint} == {"r0008-sum-over-rounds"}
    assert len(joint) == 4
    [found] = [r for r in of_kind(records, ReconstructionRecord) if r.attacker == OVER_ROUNDS]
    assert found.explained
    assert not any(Doubt.ROUNDS_APART in r.score.doubts for r in joint)
    single = [r for r in leakage if r.attacker == NAIVE and r.group == SUM]
    assert all(Doubt.ROUNDS_APART in r.score.doubts for r in single if r.score.doubts)
    means = [fmean(r.score.metrics["psnr"] for r in own) for own in (single, joint)]
    assert means[1] > means[0] + 3, means
    log = Run.read(folder)
    assert run_charts(view_of(log).cards(log), log.summary)


@pytest.mark.slow
def test_values_that_dgc_withholds_are_followed(tmp_path: Path) -> None:
    case = scenario(
        "clients=[{name='compressed', count=1, defenses=[{name='dgc', fraction=0.97}]}]",
        "federation.rounds=3",
        "adversary.adaptive=true",
        "adversary.attack.evaluations=5",
    )
    records = list(read_records(run(case, tmp_path / "run")))
    explained = {(r.round, r.attacker): r.explained for r in of_kind(records, ReconstructionRecord)}
    assert explained[3, OVER_ROUNDS]
    assert explained[1, ADAPTIVE]
    assert not explained[3, ADAPTIVE]
    scores = {
        (r.round, r.attacker): r.score for r in of_kind(records, LeakageRecord) if not r.is_control
    }
    assert Doubt.APPROXIMATE not in scores[3, OVER_ROUNDS].doubts
    assert Doubt.APPROXIMATE in scores[3, ADAPTIVE].doubts


def test_several_local_steps_are_refused() -> None:
    said = refusal(
        "adversary={rounds_together=true}", "federation={upload='update', local_steps=2}"
    )
    assert "adversary.rounds_together needs uploads of one local step" in said
