"""The closed forms: how exact, and in which time; and how many labels a batch's gradient tells.

    uv run pytest tests/benchmarks/test_closed_forms.py -m bench -s

Clothes of the embedded Fashion-MNIST, 28 x 28. The dense layer is that of an MLP with a first
layer of 400 ReLU units; R-GAP inverts the paper's LeNet.
"""

# ruff: noqa: T201 - the figures are what this is run for

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import pytest
import torch

from fedsim.attacks import RGAP, SPEAR, Attack, DenseInversion
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec
from tests.attacks.labels.test_infer import all_clothes, clothes, hits, infer_from
from tests.benchmarks.device import timed
from tests.benchmarks.table import write_table
from tests.victims import Victims, fashion_victims

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

DENSE_MS, DENSE_DB = 50.0, 60.0
EXACT_DB = 60.0
REPEATS = 9


@dataclass(frozen=True)
class Computed:
    """One closed form on several victims, one after the other."""

    attack: str
    batch_size: int
    victims: int
    exact: int
    least_psnr_db: float
    ms_for_each: float


@dataclass(frozen=True)
class Labels:
    """Share of labels right, whatever their order, on an untrained network."""

    network: str
    batch: str
    batch_size: int
    share_right: float


def dense_victims(count: int, batch_size: int) -> Victims:
    drawn = fashion_victims(count, batch_size=batch_size)
    model = MLP(hidden=(400,), activation="relu").build((1, 28, 28), 10, seed=0)
    return Victims(model, drawn.images, drawn.labels)


def measure(attack: Attack, victims: Victims, repeats: int) -> Computed:
    found, times = [], []
    for seen in victims.observations():
        attack.run(victims.model, [seen])  # what the first call alone pays
        for _ in range(repeats):
            seconds, [result] = timed(lambda seen=seen: attack.run(victims.model, [seen]), "cpu")
            times.append(1e3 * seconds)
        found.append(result)
    scores = [
        float(victims_of(victims, v).psnr([r]).min()) if r.data is not None else 0.0
        for v, r in enumerate(found)
    ]
    return Computed(
        type(attack).__name__,
        victims.labels.shape[1],
        len(found),
        sum(score >= EXACT_DB for score in scores),
        min(scores),
        median(times),
    )


def victims_of(victims: Victims, v: int) -> Victims:
    return Victims(victims.model, victims.images[v : v + 1], victims.labels[v : v + 1])


def test_exactness_and_time() -> None:
    """The dense layer: at least 60 dB in less than 50 ms. SPEAR: exact for batches of 8."""
    torch.set_num_threads(2)
    rows = [measure(DenseInversion(), dense_victims(8, 1), REPEATS)]
    rows += [measure(SPEAR(), dense_victims(6, b), 1) for b in (1, 2, 4, 8)]
    rows += [measure(RGAP(), fashion_victims(8), 1)]
    print("\n" + write_table("closed-forms", rows))
    dense, *spear, rgap = rows
    assert dense.least_psnr_db >= DENSE_DB
    assert dense.ms_for_each < DENSE_MS
    assert all(row.exact == row.victims for row in spear)
    assert rgap.exact == rgap.victims


@pytest.mark.parametrize("mix", ["any", "one class", "two classes"])
def test_labels_of_batches(mix: str) -> None:
    rows = [
        Labels(name, mix, size, share_right(spec, mix, size))
        for name, spec in (("LeNet", LeNet()), ("ConvNet", ConvNet()), ("MLP", MLP()))
        for size in (1, 4, 16, 64)
    ]
    print("\n" + write_table(f"labels-{mix.replace(' ', '-')}", rows))
    assert all(row.share_right == 1 for row in rows if row.batch_size == 1)
    assert all(row.share_right >= 0.95 for row in rows)


def share_right(spec: ModelSpec, mix: str, size: int) -> float:
    model = spec.build((1, 28, 28), 10, seed=0)
    batches: Sequence[tuple[torch.Tensor, torch.Tensor]] = clothes(mix, size, 20)
    right = sum(hits(infer_from(model, all_clothes()[0][c], y), y) for c, y in batches)
    return right / (20 * size)
