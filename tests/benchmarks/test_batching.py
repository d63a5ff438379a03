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

from fedsim.attacks import DLG, IDLG
from fedsim.scoring.metrics.images import psnr, scorable
from tests.benchmarks.paper_loop import INNER_ITERATIONS, plain_dlg
from tests.victims import Victims, fashion_victims, photograph_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

PICTURES: dict[str, Callable[[int], Victims]] = {
    "photographs": photograph_victims,
    "clothes": fashion_victims,
}
MOST_ALONE = 3.0
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


@pytest.mark.parametrize("pictures", PICTURES)
def test_one_alone_costs_few_times_its_share_of_a_batch(pictures: str) -> None:
    """Processor time of an evaluation of one victim, alone and among 64; none ends earlier.

    Of colour photographs at most `MOST_ALONE` times; of clothes, the less the arithmetic is, the
    more a batch saves.
    """
    torch.set_num_threads(1)
    costs: dict[int, list[float]] = {64: [], 1: []}
    for count, spent in [(1, 100), *((64, 100), (1, 1000)) * 3]:  # the first one warms up
        victims = PICTURES[pictures](count)
        attack = IDLG(evaluations=spent, tolerance=0.0, plateau=None)
        observations = victims.observations()
        began = time.process_time()
        attack.run(victims.model, observations)
        costs[count].append((time.process_time() - began) / count / spent * 1e3)
    among, alone = median(costs[64]), median(costs[1][1:])
    print(
        f"\n{pictures}: an evaluation costs {among:.2f} ms among 64, {alone:.2f} ms alone: "
        f"{alone / among:.1f} times"
    )
    assert pictures != "photographs" or alone / among <= MOST_ALONE


def test_cost_of_an_evaluation_by_victims() -> None:
    """Of an attack of 300 evaluations of clothes, in which few victims are recorded."""
    torch.set_num_threads(1)
    counts = (1, 2, 7, 17, 64)
    costs: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(4):  # the first one warms up
        for count in counts:
            victims = fashion_victims(count)
            attack = IDLG(evaluations=300, tolerance=0.0, plateau=None)
            began = time.process_time()
            attack.run(victims.model, victims.observations())
            costs[count].append((time.process_time() - began) / 300 * 1e3)
    print("\n" + ", ".join(f"{n} victims: {median(costs[n][1:]):.1f} ms" for n in counts))


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
