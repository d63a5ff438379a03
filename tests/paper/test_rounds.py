"""Noise that is drawn anew in 25 rounds, around the same example: combined, beside one round.

    uv run pytest -m paper -s tests/paper/test_rounds.py

Clothes of the embedded Fashion-MNIST, one for each client in every round, Gaussian noise of
standard deviation 0.3, the paper's LeNet, and the attacker that knows the noise and has a learned
prior, while the server trains by FedSGD on the noisy uploads (learning rate 0.1), or with frozen
weights. Labels are public, so that the two attackers differ in the rounds alone. Measured on two
clients, 100 evaluations: one round 8.4 and 3.4 dB, 25 rounds 15.6 and 16.4 dB (weights that train),
18.4 and 17.6 dB (frozen weights).
"""

# ruff: noqa: T201 - the figures are what this is run for

import copy

import pytest
import torch
from torch import nn

from fedsim.attacks import IDLG, Observation
from fedsim.attacks.rounds import over_rounds
from fedsim.clients.defenses import GaussianNoise
from tests.paper.test_adaptive import adapted
from tests.victims import Victims, fashion_victims

pytestmark = [pytest.mark.paper, pytest.mark.timeout(1800)]

ROUNDS, CLIENTS, EVALUATIONS, RATE = 25, 2, 100, 0.1
NOISE = GaussianNoise(std=0.3)


def seen(learning_rate: float) -> tuple[list[nn.Module], list[list[Observation]], Victims]:
    """Return the global models, and each round's observations, while the server trains."""
    victims = fashion_victims(CLIENTS)
    model, models, rounds = copy.deepcopy(victims.model), [], []
    for number in range(ROUNDS):
        models.append(copy.deepcopy(model))
        now = Victims(models[-1], victims.images, victims.labels)
        rounds.append(now.observations(NOISE, labels_known=True, seed=number))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                mean = torch.stack([o.gradient[name] for o in rounds[-1]]).mean(0)
                parameter.sub_(learning_rate * mean)
    return models, rounds, victims


def gains(learning_rate: float) -> torch.Tensor:
    """Return how many dB 25 rounds add to the first, for each client."""
    models, rounds, victims = seen(learning_rate)
    attack = adapted(IDLG(evaluations=EVALUATIONS), (NOISE,))
    one = victims.psnr(attack.run(models[0], rounds[0]))
    pairs = [over_rounds(models, list(own)) for own in zip(*rounds, strict=True)]
    together = victims.psnr(attack.run(pairs[0][0], [observation for _, observation in pairs]))
    print(
        f"\nlearning rate {learning_rate}: one round {one.flatten().tolist()} dB, "
        f"{ROUNDS} rounds {together.flatten().tolist()} dB"
    )
    return together - one


def test_weights_that_train() -> None:
    assert gains(RATE).median() >= 6


def test_frozen_weights() -> None:
    assert gains(0).median() >= 6
