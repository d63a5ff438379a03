"""A run with a malicious server, from the changed model to its report."""

from pathlib import Path

import pytest

from fedsim.engine.run import run
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import Doubt, LeakageRecord, Meaning, ReconstructionRecord
from fedsim.log.summary import summarise
from fedsim.show.malice import malice_said
from fedsim.show.report.run import write_run
from tests.fedsim.small import groups, small

RELU = "model={name='mlp', hidden=[64], activation='relu'}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "plan", ["'trap-weights'", "{name='imprint', bins=64}", "{name='fishing', label=0}"]
)
@pytest.mark.parametrize("upload", ["gradient", "update"])
def test_a_run_says_what_was_changed_and_what_it_got(
    tmp_path: Path, plan: str, upload: str
) -> None:
    scenario = small(
        RELU,
        "federation={rounds=2, batch_size=6}",
        f"federation.upload='{upload}'",
        f"adversary={{malicious={plan}, rounds=[2], per_round=1}}",
    )
    folder = run(scenario, tmp_path / "run")
    summary = summarise(read_records(folder))
    [sent] = summary.manipulations
    assert (sent.round, sent.partitions) == (2, (0, 1, 2))
    recovered, attacked = summary.taken[2]
    assert attacked == 6
    assert recovered >= 1
    assert not summary.failures
    [said] = malice_said(summary)
    assert said.replace("'", "&#39;") in write_run(folder).read_text("utf-8")


@pytest.mark.slow
def test_a_run_says_who_noticed(tmp_path: Path) -> None:
    scenario = small(
        RELU,
        "federation={rounds=2, batch_size=6}",
        groups("[{name='weight-statistics'}]", "[{name='weight-statistics', action='warn'}]"),
        "adversary={malicious='trap-weights', rounds=[2]}",
    )
    summary = summarise(read_records(run(scenario, tmp_path / "run")))
    assert summary.noticed == [
        (2, 0, "weight-statistics", True),
        (2, 1, "weight-statistics", False),
    ]
    assert summary.taken[2][1] == 6  # those of the client that answered
    changed, alarms = malice_said(summary)
    assert "client 0 by weight-statistics, refused; client 1 by weight-statistics" in changed
    assert alarms == "False alarms: 0 in 2 checks of honest models."


SECURE = "federation.aggregation={name='secagg+', shares=3, reconstruction_threshold=2}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "estimated"),
    [("inconsistent-models", True), ("imprint-parts", True), ("invented-clients", False)],
)
def test_a_failed_attack_on_an_isolated_upload_is_no_protection(
    tmp_path: Path, name: str, estimated: bool
) -> None:
    """Under noise, where no picture of any of them is left."""
    scenario = small(
        RELU,
        "federation={rounds=1, batch_size=4}",
        SECURE,
        groups("[{name='gaussian-noise', std=1.0}]", count=3),
        f"adversary={{malicious='{name}', rounds=[1]}}",
        "adversary.attack={name='idlg', evaluations=20}",
        "adversary.adaptive=true",
    )
    records = list(read_records(run(scenario, tmp_path / "run")))
    found = [r for r in of_kind(records, ReconstructionRecord) if not r.is_control]
    assert {r.attacker for r in found} == {"naive", "adaptive"}
    assert {r.approximate for r in found} == {estimated}
    scores = [r.score for r in of_kind(records, LeakageRecord) if not r.is_control]
    assert all(s.meaning is not Meaning.PROTECTED for s in scores if estimated)
    naive = [r.score for r in of_kind(records, LeakageRecord) if r.attacker == "naive"]
    assert all(s.meaning is not Meaning.PROTECTED for s in naive)


@pytest.mark.slow
def test_a_check_is_no_defense_that_an_attacker_ignores(tmp_path: Path) -> None:
    scenario = small(
        groups("[{name='weight-statistics', action='warn'}]"),
        "federation={rounds=1}",
        "adversary={attack={name='idlg', evaluations=1}}",
    )
    records = list(read_records(run(scenario, tmp_path / "run")))
    [doubts] = {r.score.doubts for r in of_kind(records, LeakageRecord) if r.partition == 0}
    assert Doubt.UNDEFENDED in doubts
    assert Doubt.NAIVE_ATTACKER not in doubts
