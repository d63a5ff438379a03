"""Attackers who know the defense."""

import pytest
import torch
from torch import Tensor

from fedsim.attacks import DLG, IDLG
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.attacks.adaptive.clipping import ClippedDistance
from fedsim.attacks.adaptive.images import image_priors
from fedsim.attacks.adaptive.pruning import SurvivingDistance
from fedsim.attacks.adaptive.qsgd import RandomRoundingLikelihood
from fedsim.attacks.adaptive.rounding import RoundingTolerance
from fedsim.attacks.adaptive.sparsification import ScaledDistance
from fedsim.attacks.matching.objectives import (
    GaussianLikelihood,
    LaplacianLikelihood,
    SquaredDistance,
)
from fedsim.attacks.matching.priors import L2, Learned, TotalVariation
from fedsim.clients.defenses import DPSGD, GaussianNoise, Int8, Pruning, Soteria
from fedsim.core.errors import AttackError
from fedsim.core.registry import COUNTERMEASURES, DEFENSES, MODELS
from tests.attacks.adaptive.chains import PARAMETERS, adapted, countermeasure, informed
from tests.rounding import assert_same
from tests.victims import fashion_victims

every_countermeasure = pytest.mark.parametrize("name", COUNTERMEASURES.names())


# What all of them keep to.


@every_countermeasure
def test_answers_a_defense_or_a_model(name: str) -> None:
    assert name in DEFENSES.names() + MODELS.names()
    assert COUNTERMEASURES.summary(name).endswith(".")


@pytest.mark.slow
@every_countermeasure
def test_changes_a_copy_of_the_attack(name: str, public_images: Tensor) -> None:
    naive = DLG(evaluations=17)
    found = informed(name, naive, Known(public=public_images))
    assert found != naive
    assert naive == DLG(evaluations=17)
    assert isinstance(found, DLG)
    assert found.evaluations == 17


@every_countermeasure
def test_the_same_knowledge_gives_the_same_attack(name: str, public_images: Tensor) -> None:
    """So that all clients with one defense are attacked as one batch."""
    one, other = (adapted(name, public=images) for images in (public_images, public_images.clone()))
    assert one == other


# Pruning.


@pytest.mark.slow
def test_pruning_is_read_by_its_survivors() -> None:
    """Half of each tensor pruned: the adaptive attacker gains at least 10 dB in the median."""
    victims = fashion_victims(2, shrink=2)
    pruned = victims.observations(Pruning(fraction=0.5))
    naive = DLG(evaluations=80)
    adaptive = informed("pruning", naive)
    assert isinstance(adaptive.objective, SurvivingDistance)
    blind, seeing = (
        victims.psnr(attack.run(victims.model, pruned)).median() for attack in (naive, adaptive)
    )
    assert seeing > 25
    assert seeing > blind + 10


def test_without_pruning_both_attackers_are_the_same() -> None:
    victims = fashion_victims(1, shrink=2).double()
    naive = DLG(evaluations=10)
    adaptive = informed("pruning", naive)
    [one], [other] = (a.run(victims.model, victims.observations()) for a in (naive, adaptive))
    assert_same(one.data, other.data)


# Noise.


@pytest.mark.slow
def test_noise_is_seen_through_with_a_prior(public_images: Tensor) -> None:
    victims = fashion_victims(4, shrink=2)
    noisy = victims.observations(GaussianNoise(std=1e-2))
    naive = DLG(evaluations=120)
    attackers = (
        naive,
        informed("gaussian-noise", naive),
        informed("gaussian-noise", naive, Known(public=public_images)),
    )
    blind, smooth, learned = (
        float(victims.psnr(a.run(victims.model, noisy)).median()) for a in attackers
    )
    assert smooth > blind + 2
    assert learned > smooth


def test_the_likelihood_is_that_of_the_noise() -> None:
    assert adapted("gaussian-noise").objective == GaussianLikelihood(1e-2)
    assert adapted("laplacian-noise").objective == LaplacianLikelihood(1e-2)


def test_noise_on_an_update_is_that_of_a_gradient_in_other_units() -> None:
    naive = DLG()
    known = Known(upload="update", unit=10.0)
    attack = informed("gaussian-noise", naive, known, std=1e-3)
    assert attack.objective == GaussianLikelihood(1e-2)
    attack = informed("laplacian-noise", naive, known, scale=1e-3)
    assert attack.objective == LaplacianLikelihood(1e-2)
    attack = informed("fp16", naive, known)
    assert attack.objective == RoundingTolerance("fp16", unit=10.0, share=0.5)


def test_what_images_look_like_is_learned_where_there_are_enough(public_images: Tensor) -> None:
    assert [type(p) for p in image_priors(1e-2, None)] == [TotalVariation]
    assert [type(p) for p in image_priors(1e-2, public_images[:49])] == [TotalVariation]
    smooth, learned = image_priors(1e-2, public_images)
    assert isinstance(smooth, TotalVariation)
    assert isinstance(learned, Learned)
    assert learned.noise_std == pytest.approx(0.05)


def test_the_more_noise_the_coarser_the_view(public_images: Tensor) -> None:
    priors = [image_priors(std, public_images)[1] for std in (1e-9, 1e-3, 1e-2, 1e-1, 1e3)]
    levels = [p.noise_std for p in priors if isinstance(p, Learned)]
    assert levels == sorted(levels)
    assert (levels[0], levels[-1]) == (0.02, 0.3)


def test_an_attack_keeps_its_own_priors() -> None:
    attack = informed("gaussian-noise", DLG(priors=(L2(),)), std=0.1)
    assert [type(p) for p in attack.priors] == [L2, TotalVariation]


@pytest.mark.parametrize(("name", "key"), [("gaussian-noise", "std"), ("laplacian-noise", "scale")])
def test_noise_of_no_strength_is_none(name: str, key: str) -> None:
    naive = DLG()
    assert informed(name, naive, **{key: 0.0}) is naive
    assert informed(name, naive, **{key: 0}) is naive


@pytest.mark.parametrize("value", [None, "much", True, -1.0, float("nan")])
def test_a_strength_that_is_not_a_number(value: object) -> None:
    with pytest.raises(
        AttackError, match="against 'gaussian-noise': parameter 'std': Input should"
    ):
        countermeasure("gaussian-noise", std=value)
    with pytest.raises(
        AttackError, match=r"'laplacian-noise': parameter 'scale': .* give the param"
    ):
        countermeasure("laplacian-noise", scale=value)


def test_parameters_that_do_not_matter_to_the_attacker_are_ignored() -> None:
    one, other = (countermeasure("dgc", fraction=0.5, warmup=count) for count in (0, 3))
    assert one == other


def test_a_defense_without_a_countermeasure_is_left_out() -> None:
    assert countermeasures_of([{"name": "none"}, {"name": "of-somebody-else", "a": 1.0}]) == []
    assert adapt(DLG(), [], Known()) == DLG()


# Rounding.


def test_the_truth_explains_what_was_rounded() -> None:
    victims = fashion_victims(1, shrink=2)
    [seen] = victims.observations(Int8())
    truth = victims.images[0], victims.labels[0]
    whole = DLG(objective=RoundingTolerance("int8"))
    assert DLG().relative_objective_of(victims.model, seen, *truth) > 1e-7
    assert whole.relative_objective_of(victims.model, seen, *truth) < 1e-11
    assert adapted("int8").relative_objective_of(victims.model, seen, *truth) < 1e-4


# Clipping, signs, levels, samples and parts: what an attacker gains who knows of them.


@pytest.mark.parametrize(
    ("name", "parameters", "gain", "least", "evaluations"),
    [
        # Measured: 8 and 33 dB, 7 and 35, 6 and 41, 5 and 37.
        ("clipping", {"norm": 1e-3}, 15, 25, 40),
        ("layer-clipping", {"norm": 0.1}, 15, 25, 40),
        ("random-sparsification", {"fraction": 0.5, "unbiased": True}, 15, 25, 80),
        ("partial-upload", {"fraction": 0.25}, 15, 25, 80),
        # Without public images: 20 and 28, 15 and 19; at 300 evaluations 6 and 22, 16 and 27.
        ("stochastic-quantisation", {"bits": 4}, 3, 20, 80),
        ("local-dp", {"norm": 1.0, "noise_multiplier": 3e-3}, 2, 14, 80),
        pytest.param("signsgd", {}, 8, 15, 120, marks=pytest.mark.slow),
        pytest.param("qsgd", {"levels": 64}, 4, 20, 120, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_knowledge_of_the_defense_is_of_use(
    name: str, parameters: dict[str, object], gain: float, least: float, evaluations: int
) -> None:
    victims = fashion_victims(2 if evaluations < 100 else 4, shrink=2)
    seen = victims.observations(DEFENSES.get(name)(**parameters))
    naive = DLG(evaluations=evaluations)
    adaptive = informed(name, naive, **parameters)
    blind, seeing = (
        float(victims.psnr(attack.run(victims.model, seen)).median())
        for attack in (naive, adaptive)
    )
    assert seeing > least
    assert seeing > blind + gain


def test_clipping_is_that_of_an_update_in_other_units() -> None:
    naive, known = DLG(), Known(upload="update", unit=10.0)
    attack = informed("clipping", naive, known, norm=0.1)
    assert attack.objective == ClippedDistance(norm=1.0)
    attack = informed("layer-clipping", naive, known, norm=0.1)
    assert attack.objective == ClippedDistance(norm=1.0, by_tensor=True)
    attack = informed("local-dp", naive, known, norm=0.1, noise_multiplier=0.5)
    assert attack.objective == ClippedDistance(GaussianLikelihood(0.5), norm=1.0)


def test_the_levels_are_those_of_the_bits() -> None:
    attack = informed("stochastic-quantisation", DLG(), bits=4)
    assert attack.objective == RandomRoundingLikelihood(levels=7)
    assert informed("qsgd", DLG(), levels=4).objective == RandomRoundingLikelihood()


@pytest.mark.parametrize("unbiased", [False, True])
def test_a_sample_is_scaled_as_it_was(unbiased: bool) -> None:
    sample = SquaredDistance() if not unbiased else ScaledDistance(factor=4.0)
    attack = informed("random-sparsification", DLG(), fraction=0.75, unbiased=unbiased)
    assert attack.objective == SurvivingDistance(sample)


# A pruned representation.


@pytest.mark.slow
def test_a_pruned_representation_is_gone_round() -> None:
    """The attacker who leaves the last weight out rebuilds what no defense would have hidden."""
    victims = fashion_victims(2, shrink=2)
    seen = victims.observations(Soteria(fraction=0.5))
    naive = DLG(evaluations=120)
    blind, seeing = (
        victims.psnr(attack.run(victims.model, seen)).max()
        for attack in (naive, informed("soteria", naive))
    )
    assert blind < 20
    assert seeing > 35


# Clipping and noise.


@pytest.mark.parametrize("multiplier", [0.0, 1e-3])
@pytest.mark.slow
def test_clipping_is_undone(multiplier: float) -> None:
    """With labels read first, the naive attacker looks for a gradient that no image has."""
    victims = fashion_victims(2, shrink=2)
    seen = victims.observations(DPSGD(norm=0.5, noise_multiplier=multiplier))
    naive = IDLG(evaluations=80)
    adaptive = informed("dp-sgd", naive, norm=0.5, noise_multiplier=multiplier)
    blind, seeing = (
        victims.psnr(attack.run(victims.model, seen)).min() for attack in (naive, adaptive)
    )
    assert blind < 10
    assert seeing > (20 if multiplier else 40)


@pytest.mark.parametrize("unit", [1.0, 10.0])
def test_noise_on_the_gradient_is_the_same_in_every_unit(unit: float) -> None:
    known = Known(upload="update", unit=unit)
    attack = informed("dp-sgd", DLG(), known, norm=2.0, noise_multiplier=0.5)
    assert attack.objective == ClippedDistance(GaussianLikelihood(1.0), norm=2.0)
    assert [type(p) for p in attack.priors] == [TotalVariation]
    attack = informed("dp-sgd", DLG(), known, norm=2.0, noise_multiplier=0.0)
    assert attack.objective == ClippedDistance(norm=2.0)
    assert not attack.priors


@pytest.mark.parametrize(("batch_size", "local_steps"), [(1, 1), (4, 1), (2, 9)])
def test_noise_of_dp_sgd_is_as_large_as_the_client_says(batch_size: int, local_steps: int) -> None:
    """The noise on the mean gradient of a batch, and on the mean of several steps."""
    victims = fashion_victims(local_steps, batch_size=batch_size, shrink=2)
    clear, noisy = (
        victims.observations(DPSGD(norm=0.1, noise_multiplier=multiplier))
        for multiplier in (0.0, 3.0)
    )
    differences = [
        torch.cat([(a.gradient[k] - b.gradient[k]).flatten() for k in a.gradient])
        for a, b in zip(clear, noisy, strict=True)
    ]
    known = Known(batch_size=batch_size, local_steps=local_steps)
    spread = countermeasure("dp-sgd", norm=0.1, noise_multiplier=3.0).answer(known).spread
    assert float(torch.stack(differences).mean(0).std()) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("missing", ["norm", "noise_multiplier"])
def test_dp_sgd_without_a_parameter(missing: str) -> None:
    known = {k: v for k, v in PARAMETERS["dp-sgd"].items() if k != missing}
    with pytest.raises(AttackError, match=missing):
        countermeasure("dp-sgd", **known)
