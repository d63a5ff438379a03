"""A tiny comparison of attacks of a malicious server, from its runs to its report."""

import csv
from pathlib import Path

import pytest

from fedsim.core.errors import ScenarioError
from fedsim.engine.comparison import run_cells
from fedsim.log.attack_matrix import pairings
from fedsim.log.comparison import cell_folder, is_finished
from fedsim.log.schema import Meaning
from fedsim.scenario.comparison import Comparison
from fedsim.show.comparison.write import conclude

TOML = """
title = "Tiny"
clients = 3
victims = 1
stages = { attacked = 1 }

[scenario]
model = { name = "mlp", hidden = [16], activation = "relu" }

[scenario.federation]
rounds = 1
batch_size = 2
learning_rate = 0.5

[scenario.adversary]
attack = "dense-rows"

[[attacks]]
label = "imprint"
set = { "adversary.malicious" = "imprint", "adversary.attack" = "dense-bins" }

[[attacks]]
label = "two models"
set = { "adversary.malicious" = "inconsistent-models" }

[[grid]]

[[grid]]
label = "SecAgg+"
set = { "federation.aggregation" = { name = "secagg+", shares = 3, reconstruction_threshold = 2 } }

[[grid]]
defenses = [{ name = "architecture-drift", action = "warn" }]
"""


def tiny(*overrides: str) -> Comparison:
    return Comparison.from_toml(TOML, "tiny", overrides)


def test_every_attack_meets_every_defense_that_it_goes_with() -> None:
    cells = tiny().cells
    assert [(c.attack, c.defense) for c in cells] == [
        ("imprint", "none"),
        ("imprint", "SecAgg+"),
        ("imprint", "architecture-drift"),
        ("two models", "SecAgg+"),
    ]
    assert len({c.place for c in tiny().places}) == 6
    assert cells[0].label == "imprint: none"
    [reason, other] = tiny().unsuited.values()
    assert "takes single uploads out of a secure sum" in reason
    assert "takes single uploads out of a secure sum" in other
    assert Comparison.from_toml(tiny().to_toml()) == tiny()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("attacks.1.set={'adversary.malicious'='imprnt'}", "did you mean 'imprint'?"),
        ("grid.2.defenses=['architecture-drft']", "did you mean 'architecture-drift'?"),
        ("attacks.1.label='imprint'", "attacks: two entries have the same label"),
    ],
)
def test_what_suits_nothing_is_an_error(override: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        tiny(override)
    assert said in str(caught.value)


@pytest.mark.slow
def test_each_pair_says_what_came_through_and_who_noticed(tmp_path: Path) -> None:
    comparison = tiny()
    run_cells(comparison, tmp_path)
    outcome = conclude(comparison, tmp_path)
    found = {(p.attack, p.defense): p for p in pairings(comparison, tmp_path)}
    plain, summed = found["imprint", "none"], found["imprint", "SecAgg+"]
    assert (plain.asked, summed.asked) == (2, 6)
    assert plain.recovered >= 1
    assert plain.worst is Meaning.LEAKED
    assert plain.changed is not None
    warned = found["imprint", "architecture-drift"]
    assert (warned.noticed, warned.receivers, warned.refused) == ({"architecture-drift": 3}, 3, 0)
    assert warned.asked == 2
    assert "takes single uploads" in str(found["two models", "none"].problem)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "What each attack got from clients with each defense" in page
    assert "are not finished" not in page
    assert outcome.advice[0].startswith("Without a defense the server recovers up to")
    rows = list(csv.DictReader((tmp_path / "attacks.csv").read_text("utf-8").splitlines()))
    assert [int(r["recovered"]) for r in rows] == [p.recovered for p in outcome.pairs]
    assert (tmp_path / "attacks.png").is_file()
    # A run that is missing is said to be.
    place = next(c for c in comparison.cells if c.attack == "two models")
    (cell_folder(tmp_path, place) / "records.jsonl").unlink()
    assert not is_finished(cell_folder(tmp_path, place))
    again = {(p.attack, p.defense): p for p in pairings(comparison, tmp_path)}
    assert again["two models", "SecAgg+"].problem == "this run is not finished"
