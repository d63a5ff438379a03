"""How the cost grows with victims, picture size, parameters and batch size.

    uv run pytest tests/benchmarks/test_growth.py -m bench -s

Gradient matching (``idlg``, a fixed number of evaluations) and, for one example, ``rgap``, in
milliseconds.
"""

# ruff: noqa: T201 - the figures are what this is run for

import os
from dataclasses import dataclass
from statistics import median

import pytest
import torch

from fedsim.attacks import IDLG, RGAP, Attack
from fedsim.models import LeNet
from tests.benchmarks.device import DEVICES, placed, timed
from tests.benchmarks.table import write_table
from tests.victims import Shape, Victims, random_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

THREADS = int(os.environ.get("FEDSIM_BENCH_THREADS", "2"))
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
    return random_victims(
        shape, count=victims, batch_size=batch_size, classes=CLASSES, spec=LeNet(channels=channels)
    )


def milliseconds(attack: Attack, victims: Victims, device: str) -> float:
    model, observations = placed(victims, device)
    took = [timed(lambda: attack.run(model, observations), device)[0] for _ in range(ROUNDS + 1)]
    return 1000 * median(took[1:])  # the first also pays for what is loaded once


def cost(device: str, grows: str, value: int, victims: Victims) -> Cost:
    count, size = victims.labels.shape
    attack = IDLG(evaluations=EVALUATIONS, tolerance=0.0)
    matching = milliseconds(attack, victims, device) / EVALUATIONS
    rgap = milliseconds(RGAP(), victims, device) / count if size == 1 else float("nan")
    parameters = sum(p.numel() for p in victims.model.parameters())
    return Cost(grows, value, device, parameters, matching, matching / count, rgap)


@pytest.mark.parametrize("device", DEVICES)
def test_growth(device: str) -> None:
    torch.set_num_threads(THREADS)
    colour: Shape = (3, 32, 32)
    curves = {
        "victims": [(n, drawn(colour, n)) for n in (1, 2, 4, 8, 16, 32, 64)],
        "side": [(n, drawn((3, n, n), 4)) for n in (16, 24, 32, 48, 64)],
        "channels": [(n, drawn(colour, 4, channels=n)) for n in (6, 12, 24, 48)],
        "batch size": [(n, drawn(colour, 4, batch_size=n)) for n in (1, 2, 4, 8)],
    }
    rows = [cost(device, name, n, v) for name, curve in curves.items() for n, v in curve]
    print("\n" + write_table(f"growth-{device}", rows))
    per_victim = {
        row.value: row.matching_ms_per_victim_and_evaluation
        for row in rows
        if row.grows == "victims"
    }
    assert per_victim[64] < per_victim[1]
