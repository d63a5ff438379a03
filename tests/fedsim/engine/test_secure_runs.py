"""Whole runs in which the server sees no single upload."""

from pathlib import Path

import pytest
import torch

from fedsim.attacks.types import Status
from fedsim.clients.site import open_site
from fedsim.engine import run
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import (
    CONTROL,
    SUM,
    LeakageRecord,
    ReconstructionRecord,
    SumRecord,
    UploadRecord,
)
from fedsim.log.score import Doubt
from fedsim.log.summary import summarise
from fedsim.scenario import Scenario
from fedsim.scoring import Scorer
from fedsim.server.victims import Victim
from fedsim.show.report.write import write_report
from fedsim.show.terminal.table import remarks
from tests.fedsim.small import TWENTY_EVALUATIONS, groups, small


def secure(*overrides: str) -> Scenario:
    return small(TWENTY_EVALUATIONS, "federation.aggregation=secagg+", *overrides)


def test_the_sum_is_the_victim_and_the_control_stays(tmp_path: Path) -> None:
    case = secure("federation.rounds=1")
    folder = run(case, tmp_path / "run")
    victims = of_kind(read_records(folder), ReconstructionRecord)
    assert sorted(v.victim for v in victims) == ["r0001-control-naive", "r0001-sum-naive"]
    assert {v.victim: v.partition for v in victims}["r0001-sum-naive"] is None
    leaks = [r for r in of_kind(read_records(folder), LeakageRecord) if r.group == SUM]
    assert [r.score.example for r in leaks] == list(range(3 * 2))
    [total] = of_kind(read_records(folder), SumRecord)
    assert total.partitions == (0, 1, 2)
    assert total.examples == 6
    assert total.clear == ("who took part", "num-examples", "upload-bytes", "loss")
    assert total.aggregation.name == "secagg+"
    assert total.problem is None
    uploads = of_kind(read_records(folder), UploadRecord)
    assert [u.digest for u in uploads] == [None] * 3
    assert [u.examples for u in uploads] == [2, 2, 2]
    summary = summarise(read_records(folder))
    assert [row.group for row in summary.rows] == [SUM, CONTROL]
    assert summary.rows[0].defense == "secagg+ clients=3"
    assert summary.rows[0].upload_bytes == total.bytes


@pytest.mark.parametrize("kind", ["gradient", "update"])
def test_the_truth_of_the_sum_is_the_batch_behind_its_gradient(kind: str, tmp_path: Path) -> None:
    case = secure("federation.rounds=1", f"federation.upload={kind}")
    site = open_site(case)
    assert case.adversary is not None
    victim = Victim(1, (0, 1, 2), "naive", case.adversary.attack, None)
    images, _ = Scorer(site).truth(victim)
    assert images.shape == (6, 1, 28, 28)
    assert torch.equal(images[2:4], site.batches(1, 1)[0][0])
    folder = run(case, tmp_path / "run")
    [found] = [v for v in of_kind(read_records(folder), ReconstructionRecord) if "sum" in v.victim]
    assert found.status in {s.value for s in Status} - {"failed"}
    # The truth fits what is attacked to the precision of the quantisation, and is not exact.
    assert 0 < (found.truth_objective or 0) < 1e-6


def test_several_steps_of_several_clients_are_an_approximation() -> None:
    case = secure("federation={aggregation='secagg+', upload='update', local_steps=2}")
    judge = Scorer(open_site(case))
    attack = case.adversary.attack if case.adversary else None
    assert judge.approximate(Victim(1, (0, 1, 2), "naive", attack, None))
    assert not judge.approximate(Victim(1, (), "naive", attack, None))


@pytest.mark.slow
def test_one_step_of_clients_with_unequal_data_is_one_batch_of_all(tmp_path: Path) -> None:
    """The weighted sum of their mean gradients is the mean over all examples, exactly."""
    epoch = "federation={aggregation='secagg+', upload='update', local_epochs=1, batch_size=5}"
    unequal = "data.partition={name='sizes', sizes=[5, 1, 3]}"
    case = small(TWENTY_EVALUATIONS, epoch, unequal, "federation.rounds=1")
    records = list(read_records(run(case, tmp_path / "run")))
    assert [r.examples for r in of_kind(records, UploadRecord)] == [5, 1, 3]
    [total] = of_kind(records, SumRecord)
    assert total.examples == 9
    [found] = [r for r in of_kind(records, ReconstructionRecord) if "sum" in r.victim]
    assert found.explained
    assert not found.approximate
    assert len([r for r in of_kind(records, LeakageRecord) if r.group == SUM]) == 9


def test_epochs_of_several_clients_are_attacked_as_an_approximation(tmp_path: Path) -> None:
    epochs = "federation={aggregation='secagg+', upload='update', local_epochs=2, rounds=1}"
    unequal = "data.partition={name='sizes', sizes=[5, 1, 3]}"
    case = small(TWENTY_EVALUATIONS, epochs, unequal)
    records = list(read_records(run(case, tmp_path / "run")))
    [found] = [r for r in of_kind(records, ReconstructionRecord) if "sum" in r.victim]
    assert found.error is None
    assert found.approximate
    scores = [r.score for r in of_kind(records, LeakageRecord) if r.group == SUM]
    assert len(scores) == 9
    assert all(Doubt.APPROXIMATE in s.doubts for s in scores if s.doubts)


def test_a_lost_round_is_recorded_and_told(tmp_path: Path) -> None:
    table = "{name='secagg+', clipping_range=1e-9}"
    case = secure("federation.rounds=1", f"federation.aggregation={table}")
    with pytest.raises(Exception, match="no client sent a usable upload"):
        run(case, tmp_path / "run")
    [total] = of_kind(read_records(tmp_path / "run"), SumRecord)
    assert "0 of 3 clients were left after masking" in total.problem
    assert set(total.dropped) == {"0", "1", "2"}
    lines = [line.plain for line in remarks(summarise(read_records(tmp_path / "run")))]
    assert any("round 1: no sum, the model stays: secagg+: 0 of 3" in line for line in lines)


@pytest.mark.slow
def test_a_sum_of_noisy_uploads_has_an_adaptive_attacker(tmp_path: Path) -> None:
    """Its equations explain the sum, also with an undefended client among the others."""
    noise = "[{name='gaussian-noise', std=0.05}]"
    case = secure("federation.rounds=1", groups(noise, noise, "[]"), "adversary.adaptive=true")
    folder = run(case, tmp_path / "run")
    leaks = [r for r in of_kind(read_records(folder), LeakageRecord) if r.group == SUM]
    assert {r.victim for r in leaks} == {"r0001-sum-naive", "r0001-sum-adaptive"}
    for record in leaks:
        adaptive = record.attacker == "adaptive"
        doubts = set(record.score.doubts)
        assert (Doubt.NAIVE_ATTACKER in doubts) is not adaptive
        assert (Doubt.WRONG_EQUATIONS in doubts) is not adaptive
    rows = [row for row in summarise(read_records(folder)).rows if row.group == SUM]
    assert [row.attacker for row in rows] == ["naive", "adaptive"]
    page = write_report(folder).read_text("utf-8")
    assert SUM in page
    assert page.count(">adaptive<") >= 1


@pytest.mark.slow
def test_a_sum_of_pruned_uploads_has_an_adaptive_attacker(tmp_path: Path) -> None:
    pruning = "[{name='pruning', fraction=0.5}]"
    case = secure("federation.rounds=1", groups(pruning, count=3), "adversary.adaptive=true")
    explained = {
        r.victim: r.explained
        for r in of_kind(read_records(run(case, tmp_path / "run")), ReconstructionRecord)
    }
    assert explained["r0001-sum-adaptive"]
    assert not explained["r0001-sum-naive"]


@pytest.mark.slow
def test_a_sum_of_signs_has_only_the_naive_attacker(tmp_path: Path) -> None:
    signs = "['signsgd']"
    case = secure("federation.rounds=1", groups(signs, count=3), "adversary.adaptive=true")
    folder = run(case, tmp_path / "run")
    leaks = [r for r in of_kind(read_records(folder), LeakageRecord) if r.group == SUM]
    assert {r.victim for r in leaks} == {"r0001-sum-naive"}
    assert all(Doubt.NAIVE_ATTACKER in r.score.doubts for r in leaks if r.score.doubts)
