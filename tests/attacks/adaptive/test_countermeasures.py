"""Attackers who know the defense."""

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import DLG, IDLG, DenseInversion, GradientMatching
from fedsim.attacks.adaptive import Countermeasure
from fedsim.attacks.adaptive.noise import image_priors
from fedsim.attacks.adaptive.objectives import (
    ClippedDistance,
    RandomRoundingLikelihood,
    ScaledDistance,
    SignMatch,
)
from fedsim.attacks.adaptive.precode import STOCHASTIC
from fedsim.attacks.matching.objectives import (
    GaussianLikelihood,
    LaplacianLikelihood,
    RoundingTolerance,
    SharedLayersDistance,
    SquaredDistance,
    SurvivingDistance,
    WithoutLastWeight,
    innermost,
)
from fedsim.attacks.matching.priors import L2, Learned, TotalVariation
from fedsim.clients.defenses import DPSGD, Defense, GaussianNoise, Int8, Pruning, Soteria
from fedsim.core.errors import AttackError
from fedsim.core.registry import COUNTERMEASURES, DEFENSES, MODELS
from fedsim.data import FashionMnistMini, load_dataset
from fedsim.models import Precode, draw_from
from tests.rounding import assert_same
from tests.victims import Victims, fashion_victims

PARAMETERS: dict[str, dict[str, object]] = {
    "bfloat16": {},
    "dgc": {"fraction": 0.5, "momentum": 0.9, "warmup": 0},
    "clipping": {"norm": 1.0},
    "dp-sgd": {"norm": 0.5, "noise_multiplier": 1e-2, "delta": 1e-5},
    "fp16": {},
    "gaussian-noise": {"std": 1e-2},
    "int8": {},
    "laplacian-noise": {"scale": 1e-2},
    "layer-clipping": {"norm": 0.3},
    "local-dp": {"norm": 1.0, "noise_multiplier": 3e-3},
    "partial-upload": {"fraction": 0.25},
    "precode": {"base": "mlp", "bottleneck": 16},
    "pruning": {"fraction": 0.5},
    "qsgd": {"levels": 64},
    "random-sparsification": {"fraction": 0.5, "unbiased": True},
    "signsgd": {},
    "soteria": {"fraction": 0.5},
    "stochastic-quantisation": {"bits": 4},
}
every_countermeasure = pytest.mark.parametrize("name", COUNTERMEASURES.names())
# One of each kind: all pairs would take minutes.
KINDS = ("clipping", "fp16", "gaussian-noise", "pruning", "signsgd")
PAIRS = list(itertools.product(sorted(PARAMETERS.keys() - MODELS.names()), KINDS))
every_pair = pytest.mark.parametrize("names", PAIRS, ids=" and ".join)
every_noise = pytest.mark.parametrize("name", ["gaussian-noise", "laplacian-noise"])


@pytest.fixture(scope="module")
def public_images() -> Tensor:
    """Clothes of 14 x 14."""
    public = load_dataset(FashionMnistMini()).test
    images, _ = public.batch(np.arange(300))
    return nn.functional.avg_pool2d(images, 2)


def make(name: str) -> Countermeasure:
    countermeasure: Countermeasure = COUNTERMEASURES.get(name)()
    return countermeasure


def described(name: str) -> Mapping[str, object]:
    """Return a defense as a scenario describes it."""
    return {"name": name, **PARAMETERS[name]}


def adapted(*names: str, public: Tensor | None = None) -> GradientMatching:
    attack: GradientMatching = DLG(evaluations=16)
    for name in names:
        attack = make(name).adapt(attack, described(name), public)
    return attack


def defenses(*names: str) -> list[Defense]:
    return [DEFENSES.get(name)(**PARAMETERS[name]) for name in names]


# What all of them keep to.


@every_countermeasure
def test_answers_a_defense_or_a_model(name: str) -> None:
    assert name in DEFENSES.names() + MODELS.names()
    assert COUNTERMEASURES.summary(name).endswith(".")


@every_countermeasure
def test_changes_a_copy_of_the_attack(name: str) -> None:
    naive = DLG(evaluations=17)
    adapted = make(name).adapt(naive, described(name))
    assert adapted != naive
    assert naive == DLG(evaluations=17)
    assert isinstance(adapted, DLG)
    assert adapted.evaluations == 17


@every_countermeasure
def test_the_same_knowledge_gives_the_same_attack(name: str, public_images: Tensor) -> None:
    """So that all clients with one defense are attacked as one batch."""
    one, other = (adapted(name, public=images) for images in (public_images, public_images.clone()))
    assert one == other


@every_pair
def test_attacks_what_comes_through_any_two_defenses(
    names: tuple[str, str], public_images: Tensor
) -> None:
    victims = fashion_victims(2, shrink=2)
    seen = victims.observations(*defenses(*names), labels_known=True)
    found = adapted(*names, public=public_images).run(victims.model, seen)
    for reconstruction in found:
        assert reconstruction.data is not None, reconstruction.error
        assert bool(reconstruction.data.isfinite().all())
        # A clipped dummy gradient is as long as the upload, wherever it points.
        worst = 4 if "dp-sgd" in names else 1
        assert 0 <= reconstruction.relative_objective < worst


# Pruning.


def test_pruning_is_read_by_its_survivors() -> None:
    """Half of each tensor pruned: the adaptive attacker gains at least 10 dB in the median."""
    victims = fashion_victims(4, shrink=2)
    pruned = victims.observations(Pruning(fraction=0.5))
    naive = DLG(evaluations=400)
    adaptive = make("pruning").adapt(naive, described("pruning"))
    assert isinstance(adaptive.objective, SurvivingDistance)
    blind, seeing = (
        victims.psnr(attack.run(victims.model, pruned)).median() for attack in (naive, adaptive)
    )
    assert seeing > 25
    assert seeing > blind + 10


def test_without_pruning_both_attackers_are_the_same() -> None:
    victims = fashion_victims(1, shrink=2).double()
    naive = DLG(evaluations=10)
    adaptive = make("pruning").adapt(naive, {})
    [one], [other] = (a.run(victims.model, victims.observations()) for a in (naive, adaptive))
    assert_same(one.data, other.data)


# Noise.


def test_noise_is_seen_through_with_a_prior(public_images: Tensor) -> None:
    victims = fashion_victims(4, shrink=2)
    noisy = victims.observations(GaussianNoise(std=1e-2))
    naive = DLG(evaluations=120)
    attackers = (
        naive,
        make("gaussian-noise").adapt(naive, described("gaussian-noise")),
        make("gaussian-noise").adapt(naive, described("gaussian-noise"), public_images),
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
    attack = make("gaussian-noise").adapt(naive, {"std": 1e-3}, None, unit=10.0)
    assert attack.objective == GaussianLikelihood(1e-2)
    attack = make("laplacian-noise").adapt(naive, {"scale": 1e-3}, None, unit=10.0)
    assert attack.objective == LaplacianLikelihood(1e-2)
    attack = make("fp16").adapt(naive, {}, None, unit=10.0)
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
    attack = make("gaussian-noise").adapt(DLG(priors=(L2(),)), {"std": 0.1})
    assert [type(p) for p in attack.priors] == [L2, TotalVariation]


@pytest.mark.parametrize(("name", "key"), [("gaussian-noise", "std"), ("laplacian-noise", "scale")])
def test_noise_of_no_strength_is_none(name: str, key: str) -> None:
    naive = DLG()
    assert make(name).adapt(naive, {key: 0.0}) is naive
    assert make(name).adapt(naive, {key: 0}) is naive


@every_noise
@pytest.mark.parametrize("value", [None, "much", True])
def test_a_strength_that_is_no_number(name: str, value: object) -> None:
    with pytest.raises(AttackError, match="expected a number, found"):
        make(name).adapt(DLG(), {"std": value, "scale": value})


# Rounding.


def test_the_truth_explains_what_was_rounded() -> None:
    victims = fashion_victims(1, shrink=2)
    [seen] = victims.observations(Int8())
    truth = victims.images[0], victims.labels[0]
    whole = DLG(objective=RoundingTolerance("int8"))
    assert DLG().misfit(victims.model, seen, *truth) > 1e-7
    assert whole.misfit(victims.model, seen, *truth) < 1e-11
    assert adapted("int8").misfit(victims.model, seen, *truth) < 1e-4


# Clipping, signs, levels, samples and parts: what an attacker gains who knows of them.


@pytest.mark.parametrize(
    ("name", "parameters", "gain", "least"),
    [
        # Measured at 300 evaluations: 8 and 89 dB, 6 and 92, 5 and 83, 5 and 81.
        ("clipping", {"norm": 1e-3}, 15, 25),
        ("layer-clipping", {"norm": 0.1}, 15, 25),
        ("random-sparsification", {"fraction": 0.5, "unbiased": True}, 15, 25),
        ("partial-upload", {"fraction": 0.25}, 15, 25),
        # Without public images: 6 and 22, 16 and 27, 19 and 27, 14 and 18.
        ("signsgd", {}, 8, 15),
        ("qsgd", {"levels": 64}, 4, 20),
        ("stochastic-quantisation", {"bits": 4}, 3, 20),
        ("local-dp", {"norm": 1.0, "noise_multiplier": 3e-3}, 2, 14),
    ],
)
def test_knowledge_of_the_defense_is_of_use(
    name: str, parameters: dict[str, object], gain: float, least: float
) -> None:
    victims = fashion_victims(4, shrink=2)
    seen = victims.observations(DEFENSES.get(name)(**parameters))
    naive = DLG(evaluations=120)
    adaptive = make(name).adapt(naive, {"name": name, **parameters})
    blind, seeing = (
        float(victims.psnr(attack.run(victims.model, seen)).median())
        for attack in (naive, adaptive)
    )
    assert seeing > least
    assert seeing > blind + gain


def test_clipping_is_that_of_an_update_in_other_units() -> None:
    naive = DLG()
    attack = make("clipping").adapt(naive, {"norm": 0.1}, None, unit=10.0)
    assert attack.objective == ClippedDistance(norm=1.0)
    attack = make("layer-clipping").adapt(naive, {"norm": 0.1}, None, unit=10.0)
    assert attack.objective == ClippedDistance(norm=1.0, by_tensor=True)
    described = {"norm": 0.1, "noise_multiplier": 0.5}
    attack = make("local-dp").adapt(naive, described, None, unit=10.0)
    assert attack.objective == ClippedDistance(GaussianLikelihood(0.5), norm=1.0)


def test_the_levels_are_those_of_the_bits() -> None:
    attack = make("stochastic-quantisation").adapt(DLG(), {"bits": 4})
    assert attack.objective == RandomRoundingLikelihood(levels=7)
    assert make("qsgd").adapt(DLG(), {"levels": 4}).objective == RandomRoundingLikelihood()


@pytest.mark.parametrize("unbiased", [False, True])
def test_a_sample_is_scaled_as_it_was(unbiased: bool) -> None:
    described = {"fraction": 0.75, "unbiased": unbiased}
    sample = SquaredDistance() if not unbiased else ScaledDistance(factor=4.0)
    attack = make("random-sparsification").adapt(DLG(), described)
    assert attack.objective == SurvivingDistance(sample)


# A pruned representation.


def test_a_pruned_representation_is_gone_round() -> None:
    """The attacker who leaves the last weight out rebuilds what no defense would have hidden."""
    victims = fashion_victims(2, shrink=2)
    seen = victims.observations(Soteria(fraction=0.5))
    naive = DLG(evaluations=120)
    blind, seeing = (
        victims.psnr(attack.run(victims.model, seen)).max()
        for attack in (naive, make("soteria").adapt(naive, described("soteria")))
    )
    assert blind < 20
    assert seeing > 35


# A variational bottleneck.


def test_a_bottleneck_behind_dense_layers_is_gone_round() -> None:
    """The client draws, the attacker knows the mean alone."""
    clothes = fashion_victims(2, shrink=2)
    spec = Precode(base="mlp", bottleneck=16)
    theirs, ours = (spec.build((1, 14, 14), 10, seed=0) for _ in range(2))
    draw_from(theirs, torch.Generator().manual_seed(1))
    seen = Victims(theirs, clothes.images, clothes.labels).observations()
    naive = IDLG(evaluations=60)
    blind, seeing = (
        clothes.psnr(attack.run(ours, seen)).min()
        for attack in (naive, make("precode").adapt(naive, described("precode")))
    )
    assert blind < 10
    assert seeing > 20
    [exact, _] = clothes.psnr(DenseInversion().run(ours, seen))
    assert exact > 60


def test_what_is_left_out_is_what_the_model_has_behind_its_draws() -> None:
    names = [k for k, _ in Precode().build((1, 8, 8), 4, seed=0).named_parameters()]
    assert frozenset(names[names.index("bottleneck.encoder.weight") :]) == STOCHASTIC


# Clipping and noise.


@pytest.mark.parametrize("multiplier", [0.0, 1e-3])
def test_clipping_is_undone(multiplier: float) -> None:
    """With labels read first, the naive attacker looks for a gradient that no image has."""
    victims = fashion_victims(2, shrink=2)
    seen = victims.observations(DPSGD(norm=0.5, noise_multiplier=multiplier))
    naive = IDLG(evaluations=80)
    adaptive = make("dp-sgd").adapt(naive, {"norm": 0.5, "noise_multiplier": multiplier})
    blind, seeing = (
        victims.psnr(attack.run(victims.model, seen)).min() for attack in (naive, adaptive)
    )
    assert blind < 10
    assert seeing > (20 if multiplier else 40)


@pytest.mark.parametrize("unit", [1.0, 10.0])
def test_noise_on_the_gradient_is_the_same_in_every_unit(unit: float) -> None:
    attack = make("dp-sgd").adapt(DLG(), {"norm": 2.0, "noise_multiplier": 0.5}, None, unit)
    assert attack.objective == ClippedDistance(GaussianLikelihood(1.0), norm=2.0)
    assert [type(p) for p in attack.priors] == [TotalVariation]
    attack = make("dp-sgd").adapt(DLG(), {"norm": 2.0, "noise_multiplier": 0.0}, None, unit)
    assert attack.objective == ClippedDistance(norm=2.0)
    assert not attack.priors


def test_the_whole_gradient_is_clipped_before_it_is_pruned() -> None:
    survivors = SurvivingDistance(GaussianLikelihood(0.5 * 1e-2))
    assert adapted("dp-sgd", "pruning").objective == ClippedDistance(survivors, norm=0.5)


@pytest.mark.parametrize("missing", ["norm", "noise_multiplier"])
def test_dp_sgd_without_a_parameter(missing: str) -> None:
    known = {k: v for k, v in described("dp-sgd").items() if k != missing}
    with pytest.raises(AttackError, match=missing):
        make("dp-sgd").adapt(DLG(), known)


# Several defenses.


def test_what_was_done_to_the_gradient_is_done_in_that_order() -> None:
    objective = adapted("clipping", "pruning").objective
    assert objective == ClippedDistance(SurvivingDistance(), norm=1.0)
    objective = adapted("pruning", "clipping").objective
    assert objective == SurvivingDistance(ClippedDistance(norm=1.0))


@pytest.mark.parametrize("name", ["signsgd", "qsgd", "stochastic-quantisation"])
def test_signs_and_levels_outlast_rounding(name: str) -> None:
    assert adapted(name, "fp16") == adapted(name)


def test_zeros_before_signs_are_taken_for_positive() -> None:
    assert innermost(adapted("pruning", "signsgd").objective) == SignMatch(1e4, plus=False)


def test_noise_leaves_signs_and_hides_levels() -> None:
    assert adapted("signsgd", "gaussian-noise") == adapted("signsgd")
    assert adapted("gaussian-noise", "qsgd") == adapted("gaussian-noise")
    assert innermost(adapted("qsgd", "gaussian-noise").objective) == GaussianLikelihood(1e-2)


def test_a_gradient_is_computed_before_it_is_pruned() -> None:
    objective = adapted("soteria", "pruning", "gaussian-noise").objective
    assert innermost(objective) == GaussianLikelihood(1e-2)
    assert isinstance(objective, WithoutLastWeight)
    assert isinstance(objective.base, SurvivingDistance)


def test_pruning_after_noise_leaves_noisy_survivors() -> None:
    objective = adapted("gaussian-noise", "pruning").objective
    assert objective == SurvivingDistance(GaussianLikelihood(1e-2))


def test_pruning_before_noise_is_hidden_by_it() -> None:
    objective = adapted("pruning", "gaussian-noise").objective
    assert objective == SurvivingDistance(GaussianLikelihood(1e-2), floor=0.03)


def test_noise_below_other_wrappers() -> None:
    attack = DLG(objective=SharedLayersDistance(SurvivingDistance()))
    found = make("gaussian-noise").adapt(attack, described("gaussian-noise")).objective
    survivors = SurvivingDistance(GaussianLikelihood(1e-2), floor=0.03)
    assert found == SharedLayersDistance(survivors, floor=0.015)


@pytest.mark.parametrize("order", [1, -1])
def test_the_larger_of_two_noises_counts_whichever_comes_first(order: int) -> None:
    attack: GradientMatching = DLG()
    for std in (1e-3, 1e-1)[::order]:
        attack = make("gaussian-noise").adapt(attack, {"std": std})
    assert attack.objective == GaussianLikelihood(1e-1)
    assert len(attack.priors) == 1


@every_noise
@pytest.mark.parametrize("rounding", ["fp16", "bfloat16", "int8"])
def test_noise_drowns_rounding(name: str, rounding: str) -> None:
    for names in ((name, rounding), (rounding, name)):
        assert adapted(*names) == adapted(name)


@pytest.mark.parametrize("names", list(itertools.permutations(["fp16", "int8"])))
def test_the_coarser_of_two_roundings_counts(names: tuple[str, str]) -> None:
    assert innermost(adapted(*names).objective) == RoundingTolerance("int8", share=0.5)


def test_an_objective_below_pruning_stays() -> None:
    assert innermost(adapted("pruning").objective) == SquaredDistance()
    assert adapted("pruning", "fp16").objective == SurvivingDistance(
        RoundingTolerance("fp16", share=0.5)
    )
