"""A dry run estimates the time of a plan, and leaves nothing."""

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from fedsim.cli.main import app
from fedsim.cli.options import Described
from fedsim.cli.schemas import schema_of
from fedsim.engine import rehearsal
from fedsim.engine.rehearsal import Rehearsal
from fedsim.scenario import Scenario
from tests.fedsim.cli.test_cli import TINY

COMPARISON = """
title = "Two"
clients = 2
seeds = [0, 1, 2]
victims = 1
[scenario.federation]
rounds = 4
[scenario.adversary]
attack = { name = "dlg", evaluations = 1000 }
[[grid]]
[[grid]]
label = "noise"
defenses = [{ name = "gaussian-noise", std = [0.1, 0.2] }]
"""


def test_the_time_of_a_run() -> None:
    """Attacks run beside the training, after the round that they attack."""
    found = Rehearsal(
        rounds=10, attacked=(2, 4), victims=3, parameters=9,
        begin_s=5.0, round_s=1.0, attack_s=20.0, longer=False,
    )  # fmt: skip
    assert found.seconds == 5 + 2 + 2 * 20
    quick = Rehearsal(
        rounds=100, attacked=(1,), victims=3, parameters=9,
        begin_s=5.0, round_s=1.0, attack_s=20.0, longer=False,
    )  # fmt: skip
    assert quick.seconds == 105


@pytest.mark.parametrize("as_json", [True, False])
def test_a_comparison_rehearses_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.toml").write_text(COMPARISON)
    tried: list[Scenario] = []

    def rehearse(scenario: Scenario) -> Rehearsal:
        tried.append(scenario)
        return Rehearsal(4, (1,), 2, 1, 1.0, 1.0, 9.0, longer=False)

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    options = ["--json"] if as_json else []
    done = CliRunner().invoke(app, ["compare", "two.toml", "--dry-run", "--jobs", "3", *options])
    assert done.exit_code == 0, done.output
    assert [bool(each.clients[0].defenses) for each in tried] == [False, True]
    if not as_json:
        assert "3 runs like 'none'" in done.stdout
        assert "6 runs like 'noise" in done.stdout
        assert "1 attacked round with 2 attacks" in done.stdout
        assert "about 33 s on this machine" in done.stdout
    else:
        found = json.loads(done.stdout)
        jsonschema.validate(found, json.loads(schema_of(Described.DRY_RUN)))
        assert [each["runs"] for each in found["rehearsed"]] == [3, 6]
        assert found["seconds"] == 9 * (1 + 1 + 9) / 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["two.toml"]


def test_seeds_are_added_to_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.toml").write_text(COMPARISON)
    monkeypatch.setattr(
        rehearsal, "rehearse", lambda _: Rehearsal(4, (1,), 2, 1, 1.0, 1.0, 9.0, longer=False)
    )
    more = ["--seed", "7", "--seed", "2", "--seed", "7"]  # 2 is among the comparison's own
    done = CliRunner().invoke(app, ["compare", "two.toml", "--dry-run", "--json", *more])
    assert done.exit_code == 0, done.output
    assert [each["runs"] for each in json.loads(done.stdout)["rehearsed"]] == [4, 8]


@pytest.mark.slow
def test_a_run_is_rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    options = ["--set", "federation.rounds=50", "--set", "adversary.attack.evaluations=400"]
    done = CliRunner().invoke(app, ["run", "tiny.toml", "--dry-run", "--json", *options])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    jsonschema.validate(found, json.loads(schema_of(Described.DRY_RUN)))
    [each] = found["rehearsed"]
    assert (each["rounds"], each["clients"], each["victims"]) == (50, 3, 5)
    assert each["attacked"] == list(range(1, 51))
    assert not each["longer"]
    assert each["attack_s"] > 0
    assert found["seconds"] >= 50 * each["attack_s"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.toml"]
