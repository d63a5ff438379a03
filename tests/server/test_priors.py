"""What an attack's priors find without the gradient."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from fedsim.attacks import IDLG, BestOf, GradientMatching, GradInversion, Observation
from fedsim.attacks.matching.client import Client
from fedsim.attacks.matching.priors import TotalVariation
from fedsim.attacks.types import OnProgress, ShouldStop, never_stop
from fedsim.server.priors import PriorsAlone
from fedsim.server.solving import Job, Solved, here
from fedsim.server.victims import Victim
from fedsim.testing.victims import pictures

SMOOTH = IDLG(evaluations=40, priors=(TotalVariation(1.0),))


def victim(attack: GradientMatching, number: int = 0) -> Victim:
    return Victim(1, (0,), "naive", attack, pictures("mlp", 1).observations[number])


def test_an_attack_without_priors_has_none() -> None:
    model = pictures("mlp", 1).model
    assert PriorsAlone(0).alone(victim(IDLG()), model, here, never_stop) is None


def test_the_baseline_is_what_the_prior_prefers_for_any_victim() -> None:
    model, priors = pictures("mlp", 1).model, PriorsAlone(0)
    first = priors.alone(victim(SMOOTH), model, here, never_stop)
    assert first is not None
    assert first.std() < 0.02  # total variation prefers a plain picture
    assert priors.alone(victim(SMOOTH, 1), model, here, never_stop) is first
    again = PriorsAlone(0).alone(victim(SMOOTH, 1), model, here, never_stop)
    assert again is not None
    assert torch.equal(again, first)


def test_a_stopped_search_is_no_baseline() -> None:
    model, priors = pictures("mlp", 1).model, PriorsAlone(0)
    assert priors.alone(victim(SMOOTH), model, here, lambda: True) is None
    said = iter([False, False, False, True])
    assert priors.alone(victim(SMOOTH), model, here, lambda: next(said, False)) is None
    assert list(said) == []  # it was told, once
    assert priors.alone(victim(SMOOTH), model, here, never_stop) is not None


def test_what_was_found_in_time_stays_a_baseline() -> None:
    model, priors = pictures("mlp", 1).model, PriorsAlone(0)
    found = priors.alone(victim(SMOOTH), model, here, never_stop)
    assert found is not None
    assert priors.alone(victim(SMOOTH), model, here, lambda: True) is found


def test_a_search_is_begun_once_and_before_it_is_waited_for() -> None:
    model, priors, begun = pictures("mlp", 1).model, PriorsAlone(0), []

    def solver(job: Job, on_progress: OnProgress, should_stop: ShouldStop) -> Callable[[], Solved]:
        begun.append(job)
        return here(job, on_progress, should_stop)

    first, second = (priors.begin(victim(SMOOTH, n), model, solver, never_stop) for n in (0, 1))
    assert len(begun) == 1
    assert first is not None
    assert first is second
    assert first.data is not None
    assert first.data is priors.alone(victim(SMOOTH), model, solver, never_stop)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_search_that_fails_is_no_baseline(at_once: bool) -> None:
    def solver(job: Job, *_: object) -> Callable[[], Solved]:
        if at_once:
            raise RuntimeError("the cluster is gone")
        return lambda: job.run(0, 0)  # type: ignore[arg-type]  (which it calls)

    model = pictures("mlp", 1).model
    assert PriorsAlone(0).alone(victim(SMOOTH), model, solver, never_stop) is None


def test_the_gradient_of_dummies_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(*args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Client, "upload", upload)
    model = pictures("mlp", 1).model
    assert PriorsAlone(0).alone(victim(SMOOTH), model, here, never_stop) is not None


@pytest.mark.parametrize("draws", [False, True])
def test_a_closed_form_gets_nothing_to_read(draws: bool) -> None:
    """Else the baseline would be the private picture, and nothing would be leakage."""
    attack = BestOf(evaluations=10, priors=SMOOTH.priors, draws=draws)
    model = pictures("mlp", 1).model
    [read] = replace(attack, draws=False).run(model, [pictures("mlp", 1).observations[0]])
    assert read.data is not None
    assert torch.allclose(read.data, pictures("mlp", 1).examples[0], atol=1e-3)
    first, second = (
        PriorsAlone(0).alone(victim(attack, n), model, here, never_stop) for n in (0, 1)
    )
    assert first is not None
    assert second is not None
    assert first.std() < 0.05
    assert torch.equal(first, second)


def test_uploaded_statistics_are_withheld_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sigmoid(), nn.Flatten(), nn.Linear(144, 4)
    )
    attack = GradInversion(evaluations=10, priors=SMOOTH.priors)

    def alone(mean: float) -> torch.Tensor | None:
        seen = Observation(
            {name: torch.randn_like(p) for name, p in model.named_parameters()},
            (1, 8, 8),
            batch_size=2,
            statistics={"1.running_mean": torch.full((4,), mean), "1.running_var": torch.ones(4)},
        )
        one = Victim(1, (0,), "adaptive", attack, seen)
        return PriorsAlone(0).alone(one, model, here, never_stop)

    first, second = alone(-5.0), alone(5.0)
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)
