"""Trainings that amplify rounding: said where the misfit is of that size, and nowhere else."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import IDLG, SGD, LocalTraining, Observation
from fedsim.attacks.functional import parameters
from fedsim.clients.training import local_training
from fedsim.engine.audit.evidence import Evidence
from fedsim.engine.audit.explanation import CHAOTIC, explanation
from fedsim.engine.audit.replays import REPLAYS, replayed_misfits
from fedsim.scenario import Federation
from fedsim.scenario.optimizers import Sgd

STEPS, SIZE, RATE = 8, 2, 0.1
PLAIN = {"upload": "update", "local_steps": STEPS, "batch_size": SIZE}
AMPLIFIES = "amplifies rounding"
COMPARE = "compare optimiser, learning rate and its schedule"


class Ripple(nn.Module):
    """Activation whose slope changes over short distances, so that rounding grows."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.sin(100 * x)


def trained(
    activation: nn.Module, rate: float = RATE, momentum: float = 0.9, *, backwards: bool = False
) -> tuple[Evidence, Federation]:
    """Return the evidence of a client of momentum 0.9, under what is stated."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(64, 32), activation, nn.Linear(32, 4)]
    sent = nn.Sequential(*layers)
    inputs, labels = torch.rand(STEPS * SIZE, 1, 8, 8), torch.arange(STEPS * SIZE) % 4
    after, own = copy.deepcopy(sent), Sgd(momentum=0.9)
    batches = list(zip(torch.split(inputs, SIZE), torch.split(labels, SIZE), strict=True))
    local_training(after, batches[::-1] if backwards else batches, RATE, optimizer=own)
    training = LocalTraining(rate, STEPS, SIZE, optimiser=SGD(momentum=momentum))
    seen = Observation.from_training(
        parameters(sent), parameters(after), training, input_shape=(1, 8, 8), examples=len(inputs)
    )
    nothing: dict[str, Tensor] = {}
    evidence = Evidence(
        IDLG(), sent, seen, inputs, labels, nothing, nothing, [], 0, 1, 1, lambda p, r: None
    )
    stated = {**PLAIN, "learning_rate": rate, "optimizer": Sgd(momentum=momentum)}
    return evidence, Federation.model_validate(stated)


def test_repetitions_of_a_smooth_training_differ_by_rounding() -> None:
    evidence, federation = trained(nn.Tanh())
    found = replayed_misfits(evidence, federation)
    assert len(found) == REPLAYS
    assert max(found) < 1e-10
    assert evidence.misfit() < 1e-10


def test_repetitions_of_a_training_that_amplifies_rounding_do_not() -> None:
    evidence, federation = trained(Ripple())
    assert max(replayed_misfits(evidence, federation)) > 1e-3


WRONG = {
    "rate": {"rate": 1.1 * RATE},
    "momentum": {"momentum": 0.0},
    "order": {"backwards": True},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_stated_wrongly_is_not_called_rounding(name: str) -> None:
    given: dict[str, Any] = WRONG[name]
    for activation in (nn.ReLU(), Ripple()):
        evidence, federation = trained(activation, **given)
        said = explanation(evidence, lambda e=evidence, f=federation: replayed_misfits(e, f))
        assert AMPLIFIES not in said
        assert COMPARE in said


def test_the_order_of_later_passes_is_no_rounding() -> None:
    evidence, federation = trained(nn.Tanh())
    seen = evidence.observation
    assert seen.training is not None
    again = replace(seen, training=replace(seen.training, steps=2 * STEPS))
    assert replayed_misfits(replace(evidence, observation=again), federation) == []
    single = replace(evidence, observation=replace(seen, training=None))
    assert replayed_misfits(single, federation) == []


class Misfitting(Evidence):
    """Evidence of a given misfit, whatever is suspected."""

    size = 0.0

    def misfit(self) -> float:
        return self.size


@pytest.mark.parametrize(
    ("misfit", "replays", "said"),
    [
        (1e-4, [1e-9, 2e-4], AMPLIFIES),
        (1e-4, [1e-9, 1e-6], COMPARE),
        (1e-4, [], COMPARE),
        (2 * CHAOTIC, [5.0], COMPARE),
    ],
)
def test_rounding_is_said_within_its_measured_size(
    misfit: float, replays: Sequence[float], said: str
) -> None:
    evidence, _ = trained(nn.Tanh())
    own = Misfitting(**vars(evidence))
    Misfitting.size = misfit
    assert said in explanation(own, lambda: replays)
