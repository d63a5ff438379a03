"""Scenarios made of objects: taken as they are, recorded, or refused."""

from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.attacks import DLG, CosineDistance
from fedsim.attacks.matching.priors import TotalVariation
from fedsim.clients.defenses import Defense, Fp16, GaussianNoise
from fedsim.core.errors import ScenarioError
from fedsim.core.parameters import set_by_code, table_of
from fedsim.models import MLP
from fedsim.scenario import AdversaryPlan, ClientGroup, Scenario
from fedsim.scenario.comparison import Comparison

NOISE = GaussianNoise(std=0.1)


def with_attack(attack: object) -> Scenario:
    return Scenario(clients=[ClientGroup(name="a")], adversary=AdversaryPlan(attack=attack))


def test_tables_may_hold_objects() -> None:
    mine = Scenario.from_tables(
        {
            "model": MLP(hidden=(4,)),
            "clients": [
                {"name": "one", "defenses": [NOISE, "fp16"]},
                ClientGroup(name="two", count=2, defenses=[NOISE]),
            ],
        }
    )
    assert mine.model == MLP(hidden=(4,))
    assert mine.clients[0].defenses == [NOISE, Fp16()]
    assert mine.clients[0].defenses[0] is NOISE
    assert mine.num_clients == 3
    assert Scenario.from_toml(mine.to_toml()) == mine


def test_given_tables_are_not_changed() -> None:
    given: dict[str, Any] = {"model": MLP(), "clients": [{"name": "one"}]}
    changed = Scenario.from_tables(given, overrides=[("model.hidden", [3]), ("seed", 7)])
    assert changed.model == MLP(hidden=(3,))
    assert changed.seed == 7
    assert given == {"model": MLP(), "clients": [{"name": "one"}]}


def test_a_scenario_is_taken_as_it_is_and_keeps_its_objects_when_it_is_changed() -> None:
    case = with_attack(DLG(objective=CosineDistance()))
    assert Scenario.from_tables(case) is case
    changed = Scenario.from_tables(case, overrides=["clients.0.count=2"])
    assert changed.num_clients == 2
    assert changed.adversary == case.adversary


@pytest.mark.parametrize(
    ("attack", "field"),
    [
        (DLG(objective=CosineDistance()), "objective"),
        (DLG(priors=(TotalVariation(1.0),)), "priors"),
    ],
    ids=["objective", "priors"],
)
def test_what_no_file_can_say_is_refused_where_it_would_be_recorded(
    attack: DLG, field: str, tmp_path: Path
) -> None:
    case = with_attack(attack)
    assert set_by_code(attack) == [field]
    message = rf"adversary\.attack\.{field} cannot be written to a scenario.*subclass of DLG"
    with pytest.raises(ScenarioError, match=message):
        case.to_toml()
    for given in (case, {"clients": [{"name": "a"}], "adversary": {"attack": attack}}):
        with pytest.raises(ScenarioError, match=message):
            fedsim.run(given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ScenarioError, match=f"^{field} cannot be written"):
        table_of(attack)


def test_a_code_only_field_at_its_default_is_no_hindrance() -> None:
    case = with_attack(DLG(objective=DLG().objective))
    assert Scenario.from_toml(case.to_toml()) == case


def test_an_unregistered_class_is_named() -> None:
    class Mine(Defense):
        pass

    with pytest.raises(ScenarioError, match=r"clients.0.defenses.0: expected one defense; .*Mine"):
        Scenario.from_tables({"clients": [{"name": "a", "defenses": [Mine()]}]})


def test_an_object_in_place_of_another_kind_is_refused() -> None:
    with pytest.raises(ScenarioError, match="model"):
        Scenario.from_tables({"model": NOISE, "clients": [{"name": "a"}]})


def test_comparisons_take_objects_too() -> None:
    given = {
        "scenario": {"model": MLP(hidden=(4,)), "adversary": AdversaryPlan(attack=DLG())},
        "grid": [{"label": "noise", "defenses": [NOISE]}, {"label": "none"}],
    }
    made = Comparison.from_tables(given)
    [noisy, bare] = made.cells
    assert noisy.scenario.clients[0].defenses == [NOISE]
    assert bare.scenario.model == MLP(hidden=(4,))
    assert Comparison.from_toml(made.to_toml()) == made
    with pytest.raises(ScenarioError, match="objective cannot be written"):
        Comparison.from_tables(
            {**given, "scenario": {"adversary": {"attack": DLG(objective=CosineDistance())}}}
        )
