"""Several local steps: the client's SGD unrolled, beside the update taken for one gradient.

Geiping et al., NeurIPS 2020 (arXiv 2003.14053), section 6, unroll local steps for known labels.
Here: clothes of the embedded Fashion-MNIST on the paper's LeNet, 4 local steps of batch 1 or 2,
labels and their order unknown to both attackers, median PSNR in dB over clients. Both are the
same attack with the same budget, ``IDLG``; ``local_steps`` alone differs. Bound: 3 dB.

    uv run pytest -m paper -s tests/paper/test_fedavg.py
"""

# ruff: noqa: T201 - the table is what this is run for

import copy
from typing import Literal

import pytest
import torch

from fedsim.attacks import IDLG, Observation
from fedsim.attacks.functional import parameters
from fedsim.clients.training import local_training
from tests.victims import Victims, fashion_victims

pytestmark = [pytest.mark.paper, pytest.mark.timeout(1800)]

CLIENTS, STEPS, EVALUATIONS, TRIALS = 6, 4, 600, 2


def updates(victims: Victims, size: int, rate: float, guess: float | None) -> list[Observation]:
    """Return what the server sees of clients that each took one pass over their data."""
    seen = []
    for images, labels in zip(victims.images, victims.labels, strict=True):
        batches = list(zip(images.split(size), labels.split(size), strict=True))
        after = local_training(copy.deepcopy(victims.model), batches, rate).arrays
        seen.append(
            Observation.from_update(
                parameters(victims.model),
                after,
                learning_rate=guess or rate,
                local_steps=STEPS,
                input_shape=tuple(images.shape[1:]),
                batch_size=size,
                examples=STEPS * size,
                exact=guess is None,
            )
        )
    return seen


def scores(
    victims: Victims, seen: list[Observation], local_steps: Literal["unroll", "average"]
) -> tuple[float, float]:
    """Return the median PSNR in dB and the share of labels that are right, in any order."""
    attack = IDLG(evaluations=EVALUATIONS, trials=TRIALS, local_steps=local_steps)
    found = attack.run(victims.model, seen)
    right = 0
    for reconstruction, labels in zip(found, victims.labels, strict=True):
        assert reconstruction.labels is not None
        counts = [torch.bincount(y, minlength=10) for y in (reconstruction.labels, labels)]
        right += int(torch.minimum(*counts).sum())
    return float(victims.psnr(found).median()), right / victims.labels.numel()


@pytest.mark.parametrize(
    ("size", "rate", "guess"),
    [(1, 0.1, None), (2, 0.1, None), (1, 0.01, None), (2, 0.01, None), (1, 0.1, 0.2)],
    ids=str,
)
def test_unrolling_beats_the_average(size: int, rate: float, guess: float | None) -> None:
    victims = fashion_victims(CLIENTS, batch_size=STEPS * size)
    seen = updates(victims, size, rate, guess)
    unrolled, right = scores(victims, seen, "unroll")
    averaged, right_at_once = scores(victims, seen, "average")
    print(
        f"\n4 steps of {size}, learning rate {rate}{f' thought {guess}' if guess else ''}: "
        f"unrolled {unrolled:.1f} dB (labels {right:.0%}), "
        f"average {averaged:.1f} dB (labels {right_at_once:.0%}), "
        f"plain grey {victims.grey_psnr().median():.1f} dB",
        end="",
    )
    assert unrolled >= averaged + 3
