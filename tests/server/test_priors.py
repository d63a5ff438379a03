"""What an attack's priors find without the gradient."""

import pytest
import torch

from fedsim.attacks import IDLG, TotalVariation
from fedsim.attacks.matching.client import Client
from fedsim.attacks.types import never_stop
from fedsim.server.priors import PriorsAlone
from fedsim.server.victims import Victim
from fedsim.testing.victims import pictures

SMOOTH = IDLG(evaluations=40, priors=(TotalVariation(1.0),))


def victim(attack: IDLG, number: int = 0) -> Victim:
    return Victim(1, (0,), "naive", attack, pictures("mlp", 1).observations[number])


def test_an_attack_without_priors_has_none() -> None:
    model = pictures("mlp", 1).model
    assert PriorsAlone(0).alone(victim(IDLG()), model, never_stop) is None


def test_the_baseline_is_what_the_prior_prefers_for_any_victim() -> None:
    model, priors = pictures("mlp", 1).model, PriorsAlone(0)
    first = priors.alone(victim(SMOOTH), model, never_stop)
    assert first is not None
    assert first.std() < 0.02  # total variation prefers a plain picture
    assert priors.alone(victim(SMOOTH, 1), model, never_stop) is first
    again = PriorsAlone(0).alone(victim(SMOOTH, 1), model, never_stop)
    assert again is not None
    assert torch.equal(again, first)


def test_a_stopped_search_is_no_baseline() -> None:
    model = pictures("mlp", 1).model
    assert PriorsAlone(0).alone(victim(SMOOTH), model, lambda: True) is None


def test_the_gradient_of_dummies_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(*args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Client, "upload", upload)
    model = pictures("mlp", 1).model
    assert PriorsAlone(0).alone(victim(SMOOTH), model, never_stop) is not None
