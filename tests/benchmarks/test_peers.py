"""Our attacks beside the paper's loop and breaching, on the same victims and gradients.

    uv run --group peers pytest tests/benchmarks -m bench -s

Victims: colour pictures of 32 x 32 on the paper's network with 100 classes, labels unknown. All
on equally many threads, in turns within one run; a victim counts as recovered from 30 dB on. The
peers take minutes for each victim, so that how many they get can be set by
``FEDSIM_BENCH_LOOP`` (16 unless told) and ``FEDSIM_BENCH_BREACHING`` (2 unless told), and
breaching's iterations by ``FEDSIM_BENCH_BREACHING_SHARE`` (1: its own presets); the threads by
``FEDSIM_BENCH_THREADS`` (2). On a GPU there
are 256 victims for us.
"""

# ruff: noqa: T201 - the figures are what this is run for

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from attacks import Attack, Observation
from fedsim.metrics.images import psnr
from fedsim.registry import ATTACKS
from tests.benchmarks import breaching_peer
from tests.benchmarks.paper_loop import plain_dlg
from tests.benchmarks.table import Measured, write_table
from tests.victims import Victims, photograph_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

CLASSES = 100
THREADS = int(os.environ.get("FEDSIM_BENCH_THREADS", "2"))
TOLERANCE = 1e-8
OUTER_ITERATIONS = 300
ON_GPU = torch.cuda.is_available()
VICTIMS = 256 if ON_GPU else 16
LOOP_VICTIMS = int(os.environ.get("FEDSIM_BENCH_LOOP", "16"))
BREACHING_VICTIMS = int(os.environ.get("FEDSIM_BENCH_BREACHING", "2"))
BREACHING_SHARE = float(os.environ.get("FEDSIM_BENCH_BREACHING_SHARE", "1"))
PRESET_ITERATIONS = {"deepleakage": 1200, "invertinggradients": 24_000}
OURS: dict[str, dict[str, object]] = {
    "best": {},
    "rgap": {},
    "idlg": {"history": 200, "tolerance": TOLERANCE},
    "dlg": {"history": 200, "tolerance": TOLERANCE},
}
QUICK = ("best", "rgap")
"""Those that are run in several rounds; the others take minutes."""


class Race:
    """Scores and times of each contestant, victim by victim or all at once."""

    def __init__(self, victims: Victims) -> None:
        self.victims = victims
        self.observations = victims.observations()
        self.scores: dict[str, dict[int, float]] = defaultdict(dict)
        self.rounds: dict[str, list[float]] = defaultdict(list)
        self.singly: dict[str, float] = defaultdict(float)

    def together(self, name: str, attack: Attack) -> None:
        """Run one of our attacks on all victims."""
        seconds, found = timed(lambda: attack.run(self.victims.model, self.observations))
        self.rounds[name].append(seconds)
        self.scores[name] = dict(enumerate(self.victims.psnr(found).flatten().tolist()))

    def alone(self, name: str, victim: int, work: Callable[[Observation], Tensor]) -> None:
        """Run a peer on one victim."""
        seconds, data = timed(lambda: work(self.observations[victim]))
        self.singly[name] += seconds
        good = bool(torch.isfinite(data).all())
        truth = self.victims.images[victim]
        score = float(psnr(data.cpu().clamp(0, 1), truth)) if good else 0.0
        self.scores[name][victim] = score
        print(f"{name}, victim {victim}: {score:.1f} dB in {seconds:.0f} s", flush=True)

    def seconds(self, name: str) -> list[float]:
        return self.rounds.get(name) or [self.singly[name]]


def timed(work: Callable[[], object]) -> tuple[float, object]:
    began = time.perf_counter()
    result = work()
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter() - began, result


def loop(model: torch.nn.Module, seed: int) -> Callable[[Observation], Tensor]:
    return lambda seen: plain_dlg(
        model, seen, classes=CLASSES, outer_iterations=OUTER_ITERATIONS, tolerance=TOLERANCE,
        seed=seed,
    )  # fmt: skip


def preset(name: str, model: torch.nn.Module) -> Callable[[Observation], Tensor]:
    iterations = max(1, int(BREACHING_SHARE * PRESET_ITERATIONS[name]))
    overrides = (f"optim.max_iterations={iterations}",)
    return lambda seen: breaching_peer.reconstruct(name, model, seen, CLASSES, overrides)


def make(name: str) -> Attack:
    attack: Attack = ATTACKS.get(name)(**OURS[name])
    return attack


def test_against_peers() -> None:
    """At least ten times as many victims a second as the paper's loop, and all of them."""
    torch.set_num_threads(THREADS)
    victims = photograph_victims(VICTIMS, classes=CLASSES)
    if ON_GPU:
        victims = replace(victims, model=victims.model.cuda())
    race = Race(victims)
    make("best").run(victims.model, race.observations[:1])  # what the first call alone pays
    for victim in range(min(LOOP_VICTIMS, VICTIMS)):
        race.alone("paper's loop", victim, loop(victims.model, victim))
        if victim % max(1, LOOP_VICTIMS // 3) == 0:
            for name in OURS:
                if victim == 0 or name in QUICK:
                    race.together(name, make(name))
        if breaching_peer.available() and victim < BREACHING_VICTIMS:
            for name in breaching_peer.PRESETS:
                race.alone(f"breaching {name}", victim, preset(name, victims.model))
    rows = table_of(race)
    print("\n" + write_table("peers" + ("-gpu" if ON_GPU else ""), rows))
    best = next(row for row in rows if row.attack == "best")
    assert best.recovered == VICTIMS
    assert best.against_loop >= (200 if ON_GPU else 10)
    for row in rows:
        if row.attack.startswith("breaching"):
            ahead_of(row, race)


def table_of(race: Race) -> list[Measured]:
    names = [*OURS, *(name for name in race.scores if name not in OURS)]
    first = measured(race, "paper's loop", float("nan"))
    return [measured(race, name, first.per_recovered) for name in names]


def measured(race: Race, name: str, loop_per_recovered: float) -> Measured:
    return Measured.of(
        name,
        list(race.scores[name].values()),
        race.seconds(name),
        device="cuda" if ON_GPU else "cpu",
        threads=torch.get_num_threads(),
        loop_per_recovered=loop_per_recovered,
    )


def ahead_of(peer: Measured, race: Race) -> None:
    """On the peer's victims ours has the higher median, in less time for each."""
    ours = measured(race, "best", 1.0)
    mine = median_of([race.scores["best"][v] for v in race.scores[peer.attack]])
    assert mine > peer.median_psnr_db
    assert ours.seconds / ours.victims < peer.seconds / peer.victims


def median_of(values: Sequence[float]) -> float:
    return float(torch.tensor(values).median())
