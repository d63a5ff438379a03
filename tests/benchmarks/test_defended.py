"""What ending a search on its plateau saves, on defended uploads and on batches, and computing.

    uv run pytest tests/benchmarks/test_defended.py -m bench -s

Each case is attacked twice, in turns: as shipped, and by a search alone with all evaluations spent,
which is how every search ended before there was a plateau. The pictures are private ones; the
plateau was chosen on public ones. `idlg` searches, `best` computes where it can.
"""

# ruff: noqa: T201 - the figures are what this is run for

import os
from dataclasses import dataclass, replace
from statistics import median

import pytest
import torch

from fedsim.attacks import IDLG, BestOf, GradientMatching
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.core.registry import DEFENSES
from tests.benchmarks.device import timed
from tests.benchmarks.table import write_table
from tests.victims import fashion_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

VICTIMS = int(os.environ.get("FEDSIM_BENCH_VICTIMS", "8"))
SAME_DB = 0.2
FIFTH = (
    "noise",
    "int8",
    "fp16",
    "noise, batches of 4",
    "best: pruning",
    "best: clipping",
    "best: batches of 2",
)
"""Cases in which the attack ends within a fifth of the evaluations."""
PRUNING: dict[str, object] = {"name": "pruning", "fraction": 0.7}
CLIPPING: dict[str, object] = {"name": "clipping", "norm": 1.0}
CASES: dict[str, tuple[GradientMatching, int, dict[str, object]]] = {
    "noise": (IDLG(), 1, {"name": "gaussian-noise", "std": 1e-2}),
    "int8": (IDLG(), 1, {"name": "int8"}),
    "fp16": (IDLG(), 1, {"name": "fp16"}),
    "pruning": (IDLG(), 1, PRUNING),
    "best: pruning": (BestOf(), 1, PRUNING),
    "clipping": (IDLG(), 1, CLIPPING),
    "best: clipping": (BestOf(), 1, CLIPPING),
    "noise, batches of 4": (IDLG(), 4, {"name": "gaussian-noise", "std": 1e-2}),
    "batches of 4": (IDLG(), 4, {"name": "none"}),
    "best: batches of 4": (BestOf(), 4, {"name": "none"}),
    "best: batches of 2": (BestOf(), 2, {"name": "none"}),
}


CHOSEN = os.environ.get("FEDSIM_BENCH_CASES", ";".join(CASES)).split(";")


@dataclass(frozen=True)
class Saved:
    """Medians of a case, with all evaluations spent (before) and as shipped (now)."""

    case: str
    victims: int
    before_db: float
    now_db: float
    before_evaluations: float
    now_evaluations: float
    before_seconds: float
    now_seconds: float

    @property
    def share(self) -> float:
        return self.now_evaluations / self.before_evaluations


def adapted(attack: GradientMatching, defense: dict[str, object]) -> GradientMatching:
    public = fashion_victims(300, public=True).images.flatten(0, 1)
    return adapt(attack, countermeasures_of([defense]), Known(public=public, gradient_rms=0.2))


def searching(attack: GradientMatching) -> GradientMatching:
    """Return the attack as a search that spends all its evaluations."""
    searching = replace(attack, plateau=None)
    return replace(searching, closed_forms=False) if isinstance(attack, BestOf) else searching


def measured(case: str) -> Saved:
    attack, batch_size, described = CASES[case]
    parameters = {k: v for k, v in described.items() if k != "name"}
    victims = fashion_victims(VICTIMS, batch_size=batch_size)
    seen = victims.observations(DEFENSES.get(str(described["name"]))(**parameters))
    shipped = adapted(attack, described)
    scores, spent, seconds = [], [], []
    for attack in (searching(shipped), shipped):
        took, found = timed(lambda attack=attack: attack.run(victims.model, seen), "cpu")
        seconds.append(took)
        scores.append(float(victims.psnr(found).mean(1).median()))
        spent.append(median(r.evaluations for r in found))
    return Saved(case, VICTIMS, *scores, *spent, *seconds)


def test_what_a_plateau_saves() -> None:
    """No score is lower; where `FIFTH` says so, at most a fifth of the evaluations are taken."""
    torch.set_num_threads(1)
    rows = []
    for case in CHOSEN:
        rows.append(measured(case))
        print(rows[-1], flush=True)
    print("\n" + write_table("defended", rows))
    for row in rows:
        assert row.now_db >= row.before_db - SAME_DB, row
        assert row.share <= (0.2 if row.case in FIFTH else 1.0), row
