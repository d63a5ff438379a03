"""Our attacks beside the paper's loop and breaching, on the same victims and gradients.

    uv run --group peers pytest tests/benchmarks -m bench -s

Victims: colour pictures of 32 x 32 on the paper's network with 100 classes, labels unknown. All
on equally many threads, in turns within one run; a victim counts as recovered from 30 dB on. What
can be set, and what the columns mean, is in the README beside this file.
"""

# ruff: noqa: T201 - the figures are what this is run for

import os
from collections import defaultdict
from collections.abc import Callable
from statistics import median

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import Attack, Observation
from fedsim.core.precision import full_float32
from fedsim.core.registry import ATTACKS
from fedsim.scoring.metrics.images import psnr
from tests.benchmarks import breaching_peer
from tests.benchmarks.device import DEVICES, placed, timed
from tests.benchmarks.paper_loop import plain_dlg
from tests.benchmarks.table import Measured, write_table
from tests.victims import Victims, photograph_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

CLASSES = 100
THREADS = int(os.environ.get("FEDSIM_BENCH_THREADS", "2"))
TOLERANCE = 1e-8
OUTER_ITERATIONS = 300
VICTIMS = {"cpu": 16, "cuda": 256}
FLOOR = {"cpu": 10, "cuda": 200}
"""How many times as many victims a second as the paper's loop."""
LOOP_VICTIMS = int(os.environ.get("FEDSIM_BENCH_LOOP", "16"))
BREACHING_VICTIMS = int(os.environ.get("FEDSIM_BENCH_BREACHING", "2"))
BREACHING_SHARE = float(os.environ.get("FEDSIM_BENCH_BREACHING_SHARE", "1"))
OURS: dict[str, dict[str, object]] = {
    "best": {},
    "rgap": {},
    "idlg": {"history": 200, "tolerance": TOLERANCE},
    "dlg": {"history": 200, "tolerance": TOLERANCE},
}
QUICK = ("best", "rgap")
"""Those that are run in several rounds; the others take minutes."""
CHOSEN = os.environ.get("FEDSIM_BENCH_OURS", ",".join(OURS)).split(",")


class Race:
    """Scores and times of each contestant, victim by victim or all at once."""

    def __init__(self, victims: Victims, device: str) -> None:
        self.victims = victims
        self.device = device
        self.model, self.observations = placed(victims, device)
        self.scores: dict[str, dict[int, float]] = defaultdict(dict)
        self.rounds: dict[str, list[float]] = defaultdict(list)
        self.singly: dict[str, float] = defaultdict(float)

    def together(self, name: str, attack: Attack) -> None:
        """Run one of our attacks on all victims."""
        seconds, found = timed(lambda: attack.run(self.model, self.observations), self.device)
        self.rounds[name].append(seconds)
        self.scores[name] = dict(enumerate(self.victims.psnr(found).flatten().tolist()))
        least = min(self.scores[name].values())
        print(f"{name}: at least {least:.1f} dB in {seconds:.1f} s", flush=True)

    def alone(self, name: str, victim: int, work: Callable[[Observation], Tensor]) -> None:
        """Run a peer on one victim."""
        with full_float32():  # as ours
            seconds, data = timed(lambda: work(self.observations[victim]), self.device)
        self.singly[name] += seconds
        good = bool(torch.isfinite(data).all())
        truth = self.victims.images[victim]
        score = float(psnr(data.cpu().clamp(0, 1), truth)) if good else 0.0
        self.scores[name][victim] = score
        print(f"{name}, victim {victim}: {score:.1f} dB in {seconds:.0f} s", flush=True)

    def seconds(self, name: str) -> list[float]:
        return self.rounds.get(name) or [self.singly[name]]


def loop(model: nn.Module, seed: int) -> Callable[[Observation], Tensor]:
    return lambda seen: plain_dlg(
        model, seen, classes=CLASSES, outer_iterations=OUTER_ITERATIONS, tolerance=TOLERANCE,
        seed=seed,
    )  # fmt: skip


def preset(name: str, model: nn.Module, seed: int) -> Callable[[Observation], Tensor]:
    iterations = max(1, int(BREACHING_SHARE * breaching_peer.PRESETS[name]))
    overrides = (f"optim.max_iterations={iterations}",)
    return lambda seen: breaching_peer.reconstruct(name, model, seen, CLASSES, overrides, seed=seed)


def make(name: str) -> Attack:
    attack: Attack = ATTACKS.get(name)(**OURS[name])
    return attack


@pytest.mark.parametrize("device", DEVICES)
def test_against_peers(device: str) -> None:
    """Ten times as many victims a second as the paper's loop (GPU: 200), and all of them."""
    torch.set_num_threads(THREADS)
    race = Race(photograph_victims(VICTIMS[device], classes=CLASSES), device)
    run(race)
    rows = table_of(race)
    print("\n" + write_table(f"peers-{device}", rows))
    best = next(row for row in rows if row.attack == "best")
    assert best.recovered == VICTIMS[device]
    assert best.against_loop >= FLOOR[device]
    for row in rows:
        if row.attack.startswith("breaching"):
            ahead_of(row, race)


def run(race: Race) -> None:
    """Let all contestants take turns, so that what else the machine does hits them alike."""
    if breaching_peer.available():
        breaching_peer.load()
    else:
        print("breaching is not installed and left out: uv run --group peers pytest ...")
    make("best").run(race.model, race.observations[:1])  # what the first call alone pays
    for victim in range(min(LOOP_VICTIMS, len(race.observations))):
        race.alone("paper's loop", victim, loop(race.model, victim))
        if victim % max(1, LOOP_VICTIMS // 3) == 0:
            for name in CHOSEN:
                if victim == 0 or name in QUICK:
                    race.together(name, make(name))
        if breaching_peer.available() and victim < BREACHING_VICTIMS:
            for name in breaching_peer.PRESETS:
                race.alone(f"breaching {name}", victim, preset(name, race.model, victim))


def table_of(race: Race) -> list[Measured]:
    names = [*CHOSEN, *(name for name in race.scores if name not in OURS)]
    unknown = float("nan")
    plain = measured(race, "paper's loop", unknown)
    per_recovered = plain.seconds / max(1, plain.recovered)
    return [measured(race, name, per_recovered) for name in names]


def measured(race: Race, name: str, loop_per_recovered: float) -> Measured:
    return Measured.of(
        name,
        list(race.scores[name].values()),
        race.seconds(name),
        device=race.device,
        threads=torch.get_num_threads(),
        loop_per_recovered=loop_per_recovered,
    )


def ahead_of(peer: Measured, race: Race) -> None:
    """On the peer's victims ours has the higher median, in less time for each."""
    ours = race.scores["best"]
    assert median(ours[v] for v in race.scores[peer.attack]) > peer.median_psnr_db
    assert median(race.seconds("best")) / len(ours) < peer.seconds / peer.victims
