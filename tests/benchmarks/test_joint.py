"""R-GAP on pruned gradients and on batches: what its constants were chosen by.

    uv run pytest tests/benchmarks/test_joint.py -m bench -s

Public clothes and the paper's network, eight victims each, none of which is private. One table is
of the weight of the gradient's equations, the other of how different a batch's examples are.
"""

# ruff: noqa: T201 - the figures are what this is run for

from dataclasses import dataclass

import pytest
import torch

from fedsim.attacks import RGAP
from fedsim.attacks.closed.rgap import equations, head
from fedsim.attacks.closed.rgap.equations import Residuals
from fedsim.clients.defenses import Pruning
from tests.benchmarks.table import write_table
from tests.victims import fashion_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

VICTIMS = 8
WEIGHTS = (1.0, 3.0, 10.0, 30.0, 100.0)
FRACTIONS = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Weighted:
    """All victims at one weight of the gradient's equations."""

    pruned: float
    weight: float
    products: int
    least_db: float
    median_db: float


@dataclass(frozen=True)
class Batch:
    """One batch. ``apart`` is in units of the error of the gradient, as `head.APART`."""

    labels: str
    apart: float
    least_db: float
    most_db: float


def test_weights_of_the_gradients_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight that is used needs fewer products than that of whole gradients, for no less."""
    torch.set_num_threads(1)
    victims, used = fashion_victims(VICTIMS, public=True), equations.GRADIENT_WEIGHT
    products = 0
    push = Residuals.push

    def counted(self: Residuals, change: torch.Tensor) -> equations.Pair:
        nonlocal products
        products += 1
        return push(self, change)

    monkeypatch.setattr(Residuals, "push", counted)
    rows = []
    for fraction in FRACTIONS:
        seen = victims.observations(Pruning(fraction=fraction))
        for weight in WEIGHTS:
            products = 0
            monkeypatch.setattr(equations, "GRADIENT_WEIGHT", weight)
            scores = victims.psnr(RGAP(floor=0.0).run(victims.model, seen))
            least, middle = float(scores.min()), float(scores.median())
            rows.append(Weighted(fraction, weight, products, least, middle))
    print("\n" + write_table("joint-weights", rows))
    by = {(row.pruned, row.weight): row for row in rows}
    assert by[0.7, used].products < by[0.7, 100.0].products
    assert by[0.7, used].least_db > by[0.7, 100.0].least_db


@pytest.mark.parametrize("batch_size", [2, 3, 4])
def test_how_different_examples_must_be(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch is solved, and those that are usually declined are worse than the others."""
    torch.set_num_threads(1)
    victims, used = fashion_victims(VICTIMS, batch_size=batch_size, public=True), head.APART
    monkeypatch.setattr(head, "APART", 0.0)
    seen = victims.observations()
    found = RGAP().run(victims.model, seen)
    rows = []
    scores = victims.psnr(found)
    for one, labels, score in zip(seen, victims.labels, scores, strict=True):
        sizes = torch.linalg.svdvals(one.gradient["head.weight"].double())
        apart = float(sizes[batch_size - 1] / sizes[0]) / torch.finfo(torch.float32).eps
        told = " ".join(map(str, labels.tolist()))
        rows.append(Batch(told, apart, float(score.min()), float(score.max())))
    rows.sort(key=lambda row: row.apart)
    print("\n" + write_table(f"joint-batches-of-{batch_size}", rows))
    worst = min((row.least_db for row in rows if row.apart >= used), default=float("inf"))
    assert all(row.least_db <= worst for row in rows if row.apart < used)
