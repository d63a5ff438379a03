"""What PRECODE's random draws hide from an attacker who looks for them.

Not in the paper (Scheliga, Mäder, Seeland, PRECODE, WACV 2022, arXiv 2108.04725). Here: 8 private
clothes of the embedded Fashion-MNIST, one in each batch, a bottleneck of 256 as in the paper,
the attack `best` with 600 evaluations, whose naive version takes the mean for the draw. Run with
``-s`` to see the table.
"""

# ruff: noqa: T201 - the table is what this is run for

from typing import Literal

import pytest
import torch

from fedsim.attacks import BestOf
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.models import Precode, draw_from
from tests.victims import Victims, fashion_victims

pytestmark = [pytest.mark.paper, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(("base", "median_db"), [("lenet", 15), ("mlp", 50)])
def test_draws_hide_little_from_an_attacker_who_looks_for_them(
    base: Literal["lenet", "mlp"], median_db: float
) -> None:
    clothes = fashion_victims(8)
    theirs, ours = (Precode(base=base).build((1, 28, 28), 10, seed=0) for _ in range(2))
    draw_from(theirs, torch.Generator().manual_seed(1))
    seen = Victims(theirs, clothes.images, clothes.labels).observations()
    naive = BestOf(evaluations=600)
    adaptive = adapt(naive, countermeasures_of([{"name": "precode"}]), Known())
    blind, seeing = (clothes.psnr(a.run(ours, seen)).flatten() for a in (naive, adaptive))
    print(f"\n{base}: PSNR in dB, median of 8 (least to most)")
    for name, scores in (("naive", blind), ("adaptive", seeing)):
        print(f"{name:<10}{scores.median():5.1f} ({scores.min():.1f} to {scores.max():.1f})")
    if base == "lenet":  # of dense layers the naive attacker has the closed form
        assert blind.max() < 10
    assert seeing.median() > median_db
    for s, x, y in zip(seen[:2], clothes.images, clothes.labels, strict=False):
        assert adaptive.truth_fit(ours, s, x, y).explained
