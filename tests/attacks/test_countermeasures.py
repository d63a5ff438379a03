"""Attackers who know the defense."""

import pytest
import torch

from attacks import DLG, SurvivingDistance
from attacks.countermeasures import Countermeasure
from clients.defenses import Pruning
from fedsim.registry import COUNTERMEASURES, DEFENSES
from tests.victims import fashion_victims

every_countermeasure = pytest.mark.parametrize("name", COUNTERMEASURES.names())


def make(name: str) -> Countermeasure:
    countermeasure: Countermeasure = COUNTERMEASURES.get(name)()
    return countermeasure


@every_countermeasure
def test_answers_a_defense(name: str) -> None:
    assert name in DEFENSES.names()
    assert COUNTERMEASURES.summary(name).endswith(".")


@every_countermeasure
def test_changes_a_copy_of_the_attack(name: str) -> None:
    naive = DLG(evaluations=17)
    adapted = make(name).adapt(naive, {"name": name, "fraction": 0.5})
    assert adapted != naive
    assert naive == DLG(evaluations=17)
    assert isinstance(adapted, DLG)
    assert adapted.evaluations == 17


def test_pruning_is_read_by_its_survivors() -> None:
    """Half of each tensor pruned: the adaptive attacker gains at least 10 dB in the median."""
    victims = fashion_victims(4, shrink=2)
    pruned = victims.observations(Pruning(fraction=0.5))
    naive = DLG(evaluations=400)
    adaptive = make("pruning").adapt(naive, {"name": "pruning", "fraction": 0.5})
    assert isinstance(adaptive.objective, SurvivingDistance)
    blind, seeing = (
        victims.psnr(attack.run(victims.model, pruned)).median() for attack in (naive, adaptive)
    )
    assert seeing > 25
    assert seeing > blind + 10


def test_without_pruning_both_attackers_are_the_same() -> None:
    victims = fashion_victims(1, shrink=2)
    naive = DLG(evaluations=10)
    adaptive = make("pruning").adapt(naive, {})
    [one], [other] = (a.run(victims.model, victims.observations()) for a in (naive, adaptive))
    assert one.data is not None
    torch.testing.assert_close(one.data, other.data, rtol=0, atol=1e-3)
