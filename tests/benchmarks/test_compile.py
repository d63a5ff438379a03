"""What ``torch.compile`` and CUDA graphs would save: why the engine does without them.

    uv run pytest tests/benchmarks/test_compile.py -m bench -s

The objective and its gradient for 16 victims of 32 x 32 in colour on the paper's network, as the
engine evaluates them, and the same function compiled; in turns within one run, medians.
"""

# ruff: noqa: T201 - the figures are what this is run for

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import pytest
import torch

from fedsim.attacks import IDLG
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.matching.trials import RunningLanes, Trials
from tests.benchmarks.device import DEVICES, placed, timed
from tests.benchmarks.table import write_table
from tests.victims import photograph_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

MODES = {"cpu": ["default"], "cuda": ["default", "reduce-overhead"]}
VICTIMS, ROUNDS = 16, 20


@dataclass(frozen=True)
class Compiled:
    """What a mode of the compiler comes to."""

    mode: str
    device: str
    compile_seconds: float
    eager_ms: float
    compiled_ms: float
    evaluations_to_pay: float


@pytest.mark.parametrize("device", DEVICES)
def test_what_compiling_saves(device: str) -> None:
    victims = photograph_victims(VICTIMS)
    model, observations = placed(victims, device)
    labels = {i: victims.labels[i] for i in range(VICTIMS)}
    problem = Problem(IDLG(), model, dict(enumerate(observations)), joint=False)
    trials = Trials(problem, labels, seed=0)
    running = RunningLanes(problem, trials)
    lanes = torch.arange(VICTIMS)
    points = torch.stack([trials.start(v) for v in range(VICTIMS)])
    running.evaluate(points, lanes)  # gathers what the lanes are matched against
    inputs = (points, running.against)
    rows = []
    for mode in MODES[device]:
        torch._dynamo.reset()
        compiled: Callable[..., object] = torch.compile(running.distance, mode=mode)
        began = time.perf_counter()
        for _ in range(3):
            compiled(*inputs)
        warm = time.perf_counter() - began
        eager, ours = [], []
        for _ in range(ROUNDS):
            eager.append(timed(lambda: running.distance(*inputs), device)[0])
            ours.append(timed(partial(compiled, *inputs), device)[0])
        gain = median(eager) - median(ours)
        rows.append(
            Compiled(
                mode, device, warm, 1e3 * median(eager), 1e3 * median(ours),
                warm / gain if gain > 0 else float("inf"),
            )
        )  # fmt: skip
    print("\n" + write_table(f"compile-{device}", rows))
    assert all(row.compile_seconds > 0 for row in rows)
