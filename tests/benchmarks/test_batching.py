"""What attacking all victims together saves, and how that compares with the paper's loop.

    uv run pytest tests/benchmarks -m bench -s

Timings on a shared machine drift, so what is compared is interleaved within one run, and medians
are taken.
"""

# ruff: noqa: T201 - the figures are what this is run for

import time
from collections.abc import Callable
from statistics import median

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from fedsim.attacks import DLG
from fedsim.scoring.metrics.images import psnr, scorable
from tests.benchmarks.paper_loop import INNER_ITERATIONS, plain_dlg
from tests.victims import fashion_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

REBUILT_DB = 30.0
BUDGET = 1000
TOLERANCE = 1e-10


@pytest.fixture(autouse=True)
def two_threads() -> None:
    torch.set_num_threads(2)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_a_batch_costs_a_third_for_each_victim(benchmark: BenchmarkFixture) -> None:
    """16 victims of the quickstart's network and data, 50 evaluations each, none ends earlier."""
    victims = fashion_victims(16)
    observations = victims.observations()
    attack = DLG(evaluations=50, tolerance=0.0)
    together: list[float] = []
    alone: list[float] = []

    def both_ways() -> None:
        together.append(seconds(lambda: attack.run(victims.model, observations)) / 16)
        alone.append(
            seconds(lambda: [attack.run(victims.model, [seen]) for seen in observations]) / 16
        )

    both_ways()
    together.clear()
    alone.clear()
    benchmark.pedantic(both_ways, rounds=5)
    ratio = median(together) / median(alone)
    benchmark.extra_info["ratio"] = ratio
    print(
        f"\nseconds for each victim: {median(together):.4f} in one batch of 16, "
        f"{median(alone):.4f} one at a time; ratio {ratio:.2f}"
    )
    assert ratio <= 1 / 3


def test_recovers_more_in_a_second_than_the_papers_loop(benchmark: BenchmarkFixture) -> None:
    """8 victims, labels unknown, 1,000 evaluations each, both to the same relative objective.

    The loop's starts are those of the paper, N(0, 1); from some of them it diverges.
    """
    victims = fashion_victims(8)
    observations = victims.observations()
    ours, loop = [], []

    def batched() -> None:
        found = DLG(evaluations=BUDGET, tolerance=TOLERANCE).run(victims.model, observations)
        ours.append(int((victims.psnr(found) >= REBUILT_DB).sum()))

    def one_by_one() -> None:
        found = [
            plain_dlg(
                victims.model,
                seen,
                classes=10,
                outer_iterations=BUDGET // INNER_ITERATIONS,
                tolerance=TOLERANCE,
                seed=v,
            )
            for v, seen in enumerate(observations)
        ]
        scores = [
            float(psnr(data, truth)) if bool(scorable(data)) else 0.0
            for data, truth in zip(found, victims.images, strict=True)
        ]
        print("\npaper's loop, PSNR in dB:", *(f"{score:.1f}" for score in scores))
        loop.append(sum(score >= REBUILT_DB for score in scores))

    took: dict[str, list[float]] = {"batched": [], "loop": []}

    def both() -> None:
        took["batched"].append(seconds(batched))
        took["loop"].append(seconds(one_by_one))

    benchmark.pedantic(both, rounds=3)
    rates = {
        "batched": median(ours) / median(took["batched"]),
        "loop": median(loop) / median(took["loop"]),
    }
    benchmark.extra_info.update(rates)
    for name, recovered in (("batched", ours), ("loop", loop)):
        print(
            f"{name:<8} {median(recovered)} of 8 recovered in {median(took[name]):.1f} s: "
            f"{rates[name]:.3f} a second"
        )
    assert median(ours) >= median(loop)
    assert rates["batched"] > rates["loop"]
