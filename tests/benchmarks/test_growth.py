"""How the cost grows with victims, side, parameters and batch size, with fitted exponents.

    uv run pytest tests/benchmarks/test_growth.py -m bench -s

Gradient matching (``idlg``) and the default attack (``best``), with a fixed number of evaluations
wherever they search. On the CPU, processor time counts, which other jobs hardly change.
"""

# ruff: noqa: T201 - the figures are what this is run for

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression

import pytest
import torch
from numpy import log

from fedsim.attacks import IDLG, Attack, BestOf
from fedsim.models import LeNet
from tests.benchmarks.device import DEVICES, placed, synchronise
from tests.benchmarks.table import write_table
from tests.victims import Victims, random_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

THREADS = int(os.environ.get("FEDSIM_BENCH_THREADS", "1"))
EVALUATIONS = 6
CLASSES = 10
CURVES: dict[str, tuple[int, ...]] = {
    "victims": (1, 4, 16, 64, 256),
    "side": (16, 32, 64, 128),
    "channels": (9, 38, 135, 440),
    "batch size": (1, 2, 4, 8, 16, 32),
}
"""Channels of the network give it 10^4 to 10^7 parameters."""
CHOSEN = os.environ.get("FEDSIM_BENCH_CURVES", ",".join(CURVES)).split(",")


@dataclass(frozen=True)
class Cost:
    """One point of a curve: milliseconds of a whole attack on all its victims."""

    grows: str
    value: int
    device: str
    victims: int
    parameters: int
    idlg_ms: float
    idlg_ms_per_victim_and_evaluation: float
    best_ms: float


@dataclass(frozen=True)
class Exponent:
    """Exponents of a curve: twice the value costs 2 to the exponent times as much."""

    grows: str
    device: str
    from_to: str
    idlg: float
    best: float


def drawn(grows: str, value: int) -> Victims:
    side = value if grows == "side" else 32
    return random_victims(
        (3, side, side),
        count=value if grows == "victims" else 2,
        batch_size=value if grows == "batch size" else 1,
        classes=CLASSES,
        spec=LeNet(channels=value if grows == "channels" else 12),
    )


def milliseconds(attack: Attack, victims: Victims, device: str) -> float:
    model, observations = placed(victims, device)
    clock = time.process_time if device == "cpu" else time.perf_counter
    synchronise(device)
    began = clock()
    attack.run(model, observations)
    synchronise(device)
    return 1000 * (clock() - began)


def cost(device: str, grows: str, value: int) -> Cost:
    victims = drawn(grows, value)
    count = len(victims.labels)
    idlg, best = (
        milliseconds(attack, victims, device)
        for attack in (
            IDLG(evaluations=EVALUATIONS, tolerance=0.0, plateau=None),
            BestOf(evaluations=EVALUATIONS, plateau=None),
        )
    )
    parameters = sum(p.numel() for p in victims.model.parameters())
    each = idlg / count / EVALUATIONS
    found = Cost(grows, value, device, count, parameters, idlg, each, best)
    print(found, flush=True)
    return found


def exponent(curve: Sequence[Cost]) -> Exponent:
    """Fit straight lines to the logarithms. A batch of one has closed forms, and is left out."""
    grows = curve[0].grows
    fitted = curve[1:] if grows == "batch size" else curve
    by_size = grows == "channels"
    values = [row.parameters if by_size else row.value for row in fitted]
    slopes = [
        linear_regression(log(values), log([getattr(row, name) for row in fitted])).slope
        for name in ("idlg_ms", "best_ms")
    ]
    name = "parameters" if by_size else grows
    return Exponent(name, curve[0].device, f"{values[0]:,} to {values[-1]:,}", *slopes)


@pytest.mark.parametrize("device", DEVICES)
def test_growth(device: str) -> None:
    """Victims together cost at most as much as apart."""
    torch.set_num_threads(THREADS)
    cost(device, "batch size", 2)  # what the first calls alone pay
    cost(device, "victims", 1)
    curves = {name: [cost(device, name, n) for n in CURVES[name]] for name in CHOSEN}
    print("\n" + write_table(f"growth-{device}", [row for c in curves.values() for row in c]))
    exponents = [exponent(curve) for curve in curves.values()]
    print(write_table(f"exponents-{device}", exponents))
    if "cuda" not in DEVICES:
        print("no GPU is at hand: its rows are left out")
    for row in exponents:
        if row.grows == "victims":
            assert row.idlg <= 1.1
    each = {row.value: row.idlg_ms_per_victim_and_evaluation for row in curves.get("victims", ())}
    if each:
        assert each[64] < each[1]
