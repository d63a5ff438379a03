"""How the cost grows with victims, picture size, parameters and batch size.

    uv run pytest tests/benchmarks/test_growth.py -m bench -s

Gradient matching (``idlg``, a fixed number of evaluations) and, for one example, ``rgap``, in
milliseconds.
"""

# ruff: noqa: T201 - the figures are what this is run for

import time
from dataclasses import dataclass, replace
from statistics import median

import pytest
import torch

from attacks import IDLG, RGAP, Attack
from fedsim.models import LeNet
from tests.benchmarks.table import write_table
from tests.victims import Shape, Victims, random_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

EVALUATIONS = 12
ROUNDS = 3
CLASSES = 10


@dataclass(frozen=True)
class Cost:
    """One point of a curve."""

    grows: str
    value: int
    device: str
    parameters: int
    matching_ms_per_evaluation: float
    matching_ms_per_victim_and_evaluation: float
    rgap_ms_per_victim: float


def drawn(shape: Shape, victims: int, batch_size: int = 1, channels: int = 12) -> Victims:
    made = random_victims(
        shape, count=victims, batch_size=batch_size, classes=CLASSES, spec=LeNet(channels=channels)
    )
    if torch.cuda.is_available():
        return replace(made, model=made.model.cuda())
    return made


def milliseconds(attack: Attack, victims: Victims) -> float:
    observations = victims.observations()
    took = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        attack.run(victims.model, observations)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        took.append(1000 * (time.perf_counter() - began))
    return median(took[1:])


def cost(grows: str, value: int, victims: Victims) -> Cost:
    count, size = victims.labels.shape
    matching = milliseconds(IDLG(evaluations=EVALUATIONS, tolerance=0.0), victims) / EVALUATIONS
    rgap = milliseconds(RGAP(), victims) / count if size == 1 else float("nan")
    return Cost(
        grows, value, "cuda" if torch.cuda.is_available() else "cpu",
        sum(p.numel() for p in victims.model.parameters()), matching, matching / count, rgap,
    )  # fmt: skip


def test_growth() -> None:
    torch.set_num_threads(2)
    colour: Shape = (3, 32, 32)
    rows = [cost("victims", n, drawn(colour, n)) for n in (1, 2, 4, 8, 16, 32, 64)]
    rows += [cost("side", n, drawn((3, n, n), 4)) for n in (16, 24, 32, 48, 64)]
    rows += [cost("channels", n, drawn(colour, 4, channels=n)) for n in (6, 12, 24, 48)]
    rows += [cost("batch size", n, drawn(colour, 4, batch_size=n)) for n in (1, 2, 4, 8)]
    print("\n" + write_table("growth", rows))
    per_victim = {r.value: r.matching_ms_per_victim_and_evaluation for r in rows[:7]}
    assert per_victim[64] < per_victim[1]
