"""What each defense is worth against an attacker who knows it, beside one who does not.

Not in the paper (Zhu, Liu, Han, NeurIPS 2019, arXiv 1906.08935), whose section 5 attacks its
defenses naively. Here: 16 clothes of the embedded Fashion-MNIST, one in each batch, the paper's
LeNet with its wide uniform weights, labels unknown (DLG), median PSNR in dB. The adaptive attacker
knows the defense and its strength, and has the 500 public test images, none of which is a
victim's. All its settings were chosen by attacks on public images. The numbers of the noises are
standard deviations. Run with ``-s`` to see the table.
"""

# ruff: noqa: T201 - the table is what this is run for

import dataclasses
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from torch import Tensor

from fedsim.attacks import DLG, GradientMatching
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.clients.defenses import (
    Bfloat16,
    Defense,
    Fp16,
    GaussianNoise,
    Int8,
    LaplacianNoise,
    Pruning,
)
from fedsim.core.registry import DEFENSES
from fedsim.data import FashionMnistMini, load_dataset
from tests.victims import Victims, fashion_victims

pytestmark = [pytest.mark.paper, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Case:
    """Defenses, and how many evaluations each attacker spends on each victim."""

    defenses: tuple[Defense, ...]
    evaluations: int = 300


CASES = {
    "Gaussian 1e-3": Case((GaussianNoise(std=1e-3),)),
    "Gaussian 1e-2": Case((GaussianNoise(std=1e-2),)),
    "Gaussian 1e-1": Case((GaussianNoise(std=1e-1),)),
    "Laplace 1e-3": Case((LaplacianNoise(scale=1e-3 / 2**0.5),)),
    "Laplace 1e-2": Case((LaplacianNoise(scale=1e-2 / 2**0.5),)),
    "Laplace 1e-1": Case((LaplacianNoise(scale=1e-1 / 2**0.5),)),
    "prune 70 %": Case((Pruning(fraction=0.7),), 600),
    "prune 90 %": Case((Pruning(fraction=0.9),), 600),
    "fp16": Case((Fp16(),)),
    "bfloat16": Case((Bfloat16(),)),
    "int8": Case((Int8(),)),
    "prune 70 %, Gaussian 1e-2": Case((Pruning(fraction=0.7), GaussianNoise(std=1e-2))),
    "Gaussian 1e-2, prune 70 %": Case((GaussianNoise(std=1e-2), Pruning(fraction=0.7))),
}


@cache
def victims() -> Victims:
    return fashion_victims(16)


@cache
def public_images() -> Tensor:
    public = load_dataset(FashionMnistMini()).test
    return public.batch(np.arange(len(public)))[0]


def adapted(attack: GradientMatching, defenses: tuple[Defense, ...]) -> GradientMatching:
    described = [{"name": DEFENSES.name_of(d), **dataclasses.asdict(d)} for d in defenses]
    known = Known(public=public_images(), gradient_rms=0.2)
    return adapt(attack, countermeasures_of(described), known)


@cache
def median_db(name: str) -> tuple[float, float]:
    """Return the naive and the adaptive attacker's median PSNR in dB."""
    case = CASES[name]
    observations = victims().observations(*case.defenses)
    naive = DLG(evaluations=case.evaluations)
    scores = [
        victims().psnr(attack.run(victims().model, observations))
        for attack in (naive, adapted(naive, case.defenses))
    ]
    blind, seeing = (float(score.median()) for score in scores)
    gain = float((scores[1] - scores[0]).median())
    print(
        f"\n{name:<28} naive {blind:5.1f} dB  adaptive {seeing:5.1f} dB"
        f" ({scores[1].min():.1f} to {scores[1].max():.1f})  median gain {gain:+.1f} dB",
        end="",
    )
    return blind, seeing


@pytest.mark.parametrize("name", ["Gaussian 1e-2", "Laplace 1e-2"])
def test_a_prior_helps_under_noise(name: str) -> None:
    naive, adaptive = median_db(name)
    assert adaptive >= naive + 2


@pytest.mark.parametrize("name", ["Gaussian 1e-3", "Laplace 1e-3", "fp16", "bfloat16", "int8"])
def test_knowing_does_no_harm(name: str) -> None:
    naive, adaptive = median_db(name)
    assert adaptive >= naive - 0.5


def test_pruning_is_wide_open_to_who_looks_at_the_zeros() -> None:
    naive, adaptive = median_db("prune 70 %")
    assert naive < 12
    assert adaptive >= 35
    naive, adaptive = median_db("prune 90 %")
    assert adaptive >= naive + 10


@pytest.mark.parametrize(
    "name",
    ["Gaussian 1e-1", "Laplace 1e-1", "prune 70 %, Gaussian 1e-2", "Gaussian 1e-2, prune 70 %"],
)
def test_recorded(name: str) -> None:
    assert min(median_db(name)) > 0
