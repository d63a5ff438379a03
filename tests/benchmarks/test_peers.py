"""Our attacks beside the paper's loop and breaching, on the same victims and gradients.

    uv run --group peers pytest tests/benchmarks/test_peers.py -m bench -s

Victims: colour pictures of 32 x 32 with 100 classes, cut from photographs that do not come with
fedsim, and clothes of 28 x 28 with 10, on the paper's network, labels unknown. All on equally many
threads, in turns within one run; a victim counts as recovered from 30 dB on. What can be set, and
what the columns mean, is in the README beside this file.
"""

# ruff: noqa: T201 - the figures are what this is run for

import os
from collections import defaultdict
from collections.abc import Callable
from statistics import median

import pytest
import torch
from torch import Tensor

from fedsim.attacks import Attack, Observation, Reconstruction
from fedsim.attacks.functional import count_classes
from fedsim.core.precision import full_float32
from fedsim.core.registry import ATTACKS
from tests.benchmarks import breaching_peer
from tests.benchmarks.device import DEVICES, placed
from tests.benchmarks.paper_loop import plain_dlg
from tests.benchmarks.table import Measured, write_table
from tests.benchmarks.watch import Reached, Watch, score_of
from tests.victims import Victims, fashion_victims, photograph_victims

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(7200),
    pytest.mark.filterwarnings("ignore"),  # of what a peer uses
]

THREADS = int(os.environ.get("FEDSIM_BENCH_THREADS", "1"))
TOLERANCE = 1e-8
OUTER_ITERATIONS = 300
VICTIMS = {"cpu": int(os.environ.get("FEDSIM_BENCH_VICTIMS", "16")), "cuda": 256}
FLOOR = {"cpu": 10, "cuda": 200}
"""How many times as many victims a second as the paper's loop."""
RECOVERED = {"cpu": 1.0, "cuda": 0.95}
"""Share of the victims that must be recovered: of 256, a search of labels too may lose a few."""
LOOP_VICTIMS = int(os.environ.get("FEDSIM_BENCH_LOOP", "16"))
BREACHING_VICTIMS = int(os.environ.get("FEDSIM_BENCH_BREACHING", "2"))
BREACHING_SHARE = float(os.environ.get("FEDSIM_BENCH_BREACHING_SHARE", "1"))
STOPS = os.environ.get("FEDSIM_BENCH_STOP", "0") == "1"
"""Whether all end at 30 dB; else each runs on to its own end, and both times are noted."""
OURS: dict[str, dict[str, object]] = {
    "best": {},
    "rgap": {},
    "idlg": {"history": 200, "tolerance": TOLERANCE},
    "dlg": {"history": 200, "tolerance": TOLERANCE},
}
QUICK = ("best", "rgap")
"""Those that are run in several rounds; the others take minutes."""
CHOSEN = os.environ.get("FEDSIM_BENCH_OURS", ",".join(OURS)).split(",")
LOOP = "paper's loop"
UNKNOWN = float("nan")
PICTURES: dict[str, Callable[[int], Victims]] = {
    "photographs": lambda count: photograph_victims(count, held_out=True),
    "clothes": fashion_victims,
}


class Race:
    """Scores and times of each contestant, victim by victim or all at once."""

    def __init__(self, victims: Victims, device: str) -> None:
        self.victims, self.device = victims, device
        self.truths = victims.images.flatten(0, 1)
        self.classes = count_classes(victims.model, tuple(self.truths.shape[1:]))
        self.model, self.observations = placed(victims, device)
        self.scores: dict[str, dict[int, float]] = defaultdict(dict)
        self.reached: dict[str, set[int]] = defaultdict(set)
        self.until: dict[str, list[float]] = defaultdict(list)
        self.shipped: dict[str, list[float]] = defaultdict(list)
        self.first: dict[str, float] = {}

    def together(self, name: str, attack: Attack) -> None:
        """Run one of our attacks on all victims."""
        if name not in self.first:
            self._ours(attack, watch := Watch(self.truths[:1], self.device, at_once=True))
            self.first[name] = watch.seconds()
        found = self._ours(attack, watch := Watch(self.truths, self.device, stops=STOPS))
        ended = watch.seconds()
        self.until[name].append(watch.until_all(ended))
        self.shipped[name].append(UNKNOWN if STOPS else ended)
        ends = self.victims.psnr(found).flatten().tolist()
        self._score(name, dict(enumerate(ends)), set(watch.reached))
        least = min(self.scores[name].values())
        print(f"{name}: at least {least:.1f} dB in {ended:.1f} s", flush=True)

    def _score(self, name: str, ends: dict[int, float], reached: set[int]) -> None:
        """Note the PSNR at the end; of a victim at which the benchmark stopped, at least 30 dB."""
        for victim, end in ends.items():
            self.scores[name][victim] = max(end, 30.0) if STOPS and victim in reached else end
        self.reached[name] |= reached | {v for v, end in ends.items() if end >= 30.0}

    def _ours(self, attack: Attack, watch: Watch) -> list[Reconstruction]:
        seen = self.observations[: watch.count]
        return attack.run(
            self.model, seen, on_progress=watch.on_progress, should_stop=watch.should_stop
        )

    def alone(self, name: str, victim: int, work: Callable[[Observation], Tensor]) -> None:
        """Run a peer on one victim."""
        truth, seen = self.truths[victim : victim + 1], self.observations[victim]
        if name not in self.first:
            self._peer(work, seen, watch := Watch(truth, self.device, at_once=True))
            self.first[name] = watch.seconds()
            self.until[name], self.shipped[name] = [0.0], [UNKNOWN if STOPS else 0.0]
        data = self._peer(work, seen, watch := Watch(truth, self.device, stops=STOPS))
        ended = watch.seconds()
        self.until[name][0] += watch.until_all(ended)
        self.shipped[name][0] += ended
        score = 0.0 if data is None else score_of(data, truth)
        self._score(name, {victim: score}, {victim} if watch.reached else set())
        print(f"{name}, victim {victim}: {score:.1f} dB in {ended:.0f} s", flush=True)

    def _peer(
        self, work: Callable[[Observation], Tensor], seen: Observation, watch: Watch
    ) -> Tensor | None:
        """Return the peer's data; None if the benchmark stopped it."""
        handle = watch.on_inputs(self.model)
        try:
            with full_float32():  # as ours
                return work(seen)
        except Reached:
            return None
        finally:
            handle.remove()


def loop(race: Race, seed: int) -> Callable[[Observation], Tensor]:
    return lambda seen: plain_dlg(
        race.model, seen, classes=race.classes, outer_iterations=OUTER_ITERATIONS,
        tolerance=TOLERANCE, seed=seed,
    )  # fmt: skip


def preset(name: str, race: Race, seed: int) -> Callable[[Observation], Tensor]:
    iterations = max(1, int(BREACHING_SHARE * breaching_peer.PRESETS[name]))
    overrides = (f"optim.max_iterations={iterations}",)
    return lambda seen: breaching_peer.reconstruct(
        name, race.model, seen, race.classes, overrides, seed=seed
    )


def make(name: str) -> Attack:
    attack: Attack = ATTACKS.get(name)(**OURS[name])
    return attack


@pytest.mark.parametrize("pictures", PICTURES)
@pytest.mark.parametrize("device", DEVICES)
def test_against_peers(device: str, pictures: str) -> None:
    """Ten times as many victims a second as the paper's loop (GPU: 200), and all of them."""
    torch.set_num_threads(THREADS)
    race = Race(PICTURES[pictures](VICTIMS[device]), device)
    run(race)
    rows = table_of(race)
    print("\n" + write_table(f"peers-{device}-{pictures}", rows))
    for row in rows:
        if row.attack in ("best", "idlg", "dlg"):
            assert row.recovered_until_30_db >= RECOVERED[device] * VICTIMS[device], row
            assert row.against_loop_until_30_db >= FLOOR[device], row
        if row.attack.startswith("breaching"):
            ahead_of(row, race)


def run(race: Race) -> None:
    """Let all contestants take turns, so that what else the machine does hits them alike."""
    if breaching_peer.available():
        breaching_peer.load()
    else:
        print("breaching is not installed and left out: uv run --group peers pytest ...")
    peers = min(LOOP_VICTIMS, len(race.observations))
    for victim in range(peers):
        race.alone(LOOP, victim, loop(race, victim))
        if victim % max(1, peers // 3) == 0:
            for name in CHOSEN:
                if victim == 0 or name in QUICK:
                    race.together(name, make(name))
        if breaching_peer.available() and victim < BREACHING_VICTIMS:
            for name in breaching_peer.presets(race.truths.shape[1]):
                race.alone(f"breaching {name}", victim, preset(name, race, victim))


def table_of(race: Race) -> list[Measured]:
    names = [*CHOSEN, *(name for name in race.scores if name not in OURS)]
    per_recovered = measured(race, LOOP, (UNKNOWN, UNKNOWN)).per_recovered
    return [measured(race, name, per_recovered) for name in names]


def measured(race: Race, name: str, loop_per_recovered: tuple[float, float]) -> Measured:
    return Measured.of(
        name,
        list(race.scores[name].values()),
        len(race.reached[name]),
        race.until[name],
        race.shipped[name],
        device=race.device,
        threads=torch.get_num_threads(),
        first_call=race.first[name],
        loop=loop_per_recovered,
    )


def ahead_of(peer: Measured, race: Race) -> None:
    """On the peer's victims ours has at least its median, in less time for each."""
    ours = race.scores["best"]
    assert median(ours[v] for v in race.scores[peer.attack]) >= peer.median_psnr_db
    assert median(race.until["best"]) / len(ours) < peer.until_30_db_s / peer.victims
