"""Chains of defenses, and the one attack that answers all of them."""

import dataclasses
import itertools
import math
from functools import cache

import pytest
import torch
from torch import Tensor

from fedsim.attacks import DLG, IDLG
from fedsim.attacks.adaptive import (
    AllowForFp16,
    Answer,
    Countermeasure,
    Known,
    adapt,
    countermeasures_of,
)
from fedsim.attacks.adaptive.clipping import ClippedDistance
from fedsim.attacks.adaptive.compose import compose
from fedsim.attacks.adaptive.layer_dropout import SharedLayersDistance
from fedsim.attacks.adaptive.pruning import SurvivingDistance
from fedsim.attacks.adaptive.rounding import RoundingTolerance
from fedsim.attacks.adaptive.signsgd import SignMatch
from fedsim.attacks.adaptive.soteria import WithoutLastWeight
from fedsim.attacks.matching.objectives import (
    GaussianLikelihood,
    Objective,
    SquaredDistance,
    Wrapper,
    unwrapped,
)
from fedsim.attacks.matching.priors import TotalVariation
from fedsim.clients.defenses import Defense, Fp16
from fedsim.core.errors import AttackError
from fedsim.core.registry import COUNTERMEASURES, DEFENSES, MODELS
from tests.attacks.adaptive.chains import (
    PARAMETERS,
    adapted,
    countermeasure,
    defenses,
    informed,
)
from tests.attacks.adaptive.foreign import ExpectRelativeNoise, RelativeLikelihood, RelativeNoise
from tests.victims import Victims, fashion_victims

DEFENDED = sorted(PARAMETERS.keys() - MODELS.names())
# One of each kind.
KINDS = ("clipping", "fp16", "gaussian-noise", "pruning", "signsgd")
every_noise = pytest.mark.parametrize("name", ["gaussian-noise", "laplacian-noise"])

# The same kinds where they change next to nothing; signs always do.
HARMLESS: dict[str, dict[str, object]] = {
    "clipping": {"norm": 1e3},
    "fp16": {},
    "gaussian-noise": {"std": 1e-9},
    "pruning": {"fraction": 0.0},
}
UNCERTAIN = [name for name in DEFENDED if countermeasure(name).answer(Known()).likelihood]


# Pairs.


@pytest.mark.parametrize("names", list(itertools.product(DEFENDED, KINDS)), ids=" and ".join)
@pytest.mark.slow
def test_attacks_what_comes_through_any_two_defenses(
    names: tuple[str, str], public_images: Tensor
) -> None:
    victims = one_shirt()
    seen = victims.observations(*defenses(*names), labels_known=True)
    # A wrong composition shows at once: in an error, or in a gradient that is not finite.
    # Where labels are mixed, they start equal, and so further away.
    evaluations = 16 if "instahide" in names else 4
    attack = adapted(*names, public=public_images, evaluations=evaluations)
    [found] = attack.run(victims.model, seen)
    assert found.data is not None, found.error
    assert bool(found.data.isfinite().all())
    # A clipped dummy gradient is as long as the upload, wherever it points.
    worst = 4 if "dp-sgd" in names else 1
    assert 0 <= found.relative_objective < worst


@pytest.mark.parametrize("second", HARMLESS)
@pytest.mark.parametrize("first", UNCERTAIN)
def test_a_defense_that_adds_nothing_leaves_the_likelihood(first: str, second: str) -> None:
    chain = [countermeasure(first), countermeasure(second, **HARMLESS[second])]
    alone, both = (adapt(DLG(), answers, Known()) for answers in (chain[:1], chain))
    assert unwrapped(both.objective)[1] == unwrapped(alone.objective)[1]
    assert both.priors == alone.priors


@pytest.mark.parametrize("first", ["clipping", "pruning", "soteria"])
@pytest.mark.slow
def test_a_defense_that_adds_nothing_takes_nothing_from_the_attacker(first: str) -> None:
    """What an attacker rebuilds behind one defense, and with a harmless one behind that."""
    alone = psnr_behind(first)
    for second in ("fp16", "gaussian-noise"):
        # Beyond 25 dB the picture is found, and the last digits decide.
        assert psnr_behind(first, second) > min(alone, 25) - 2


@cache
def one_shirt() -> Victims:
    return fashion_victims(1, shrink=2)


def psnr_behind(first: str, *others: str) -> float:
    victims = one_shirt()
    chain = [(first, PARAMETERS[first]), *((other, HARMLESS[other]) for other in others)]
    clients: list[Defense] = [DEFENSES.get(name)(**given) for name, given in chain]
    seen = victims.observations(*clients, labels_known=True)
    answers = countermeasures_of([{"name": name, **given} for name, given in chain])
    attack = adapt(IDLG(evaluations=30), answers, Known())
    return float(victims.psnr(attack.run(victims.model, seen)))


# Answers of somebody else.


@pytest.mark.parametrize("name", sorted(COUNTERMEASURES.names()))
def test_a_foreign_likelihood_survives_every_answer_behind_it(name: str) -> None:
    """Where its spread is the larger one."""
    foreign = RelativeLikelihood(share=100.0)
    answers = [
        Answer(likelihood=foreign, spread=3.0, image_noise_std=3.0),
        countermeasure(name).answer(Known()),
    ]
    for chain in (answers, answers[::-1]):
        attack = compose(DLG(), chain)
        assert unwrapped(attack.objective)[1] == foreign
        assert [type(p) for p in attack.priors] == [TotalVariation]


@pytest.mark.parametrize("name", ["fp16", "bfloat16", "int8", "clipping", "pruning", "soteria"])
@pytest.mark.parametrize("size", [1e-3, 0.03, 10.0])
def test_a_tenth_of_the_gradient_is_more_than_rounding(name: str, size: float) -> None:
    known = Known(gradient_rms=size)
    attack = adapt(DLG(), [ExpectRelativeNoise(share=0.1), countermeasure(name)], known)
    assert unwrapped(attack.objective)[1] == RelativeLikelihood(0.1)
    assert len(attack.priors) == 1


def test_foreign_noise_hides_zeros_before_it() -> None:
    chain = [countermeasure("pruning"), ExpectRelativeNoise(share=0.1)]
    attack = adapt(DLG(), chain, Known(gradient_rms=0.1))
    assert attack.objective == SurvivingDistance(RelativeLikelihood(0.1), floor=pytest.approx(0.03))


@dataclasses.dataclass(frozen=True)
class Halved(Wrapper):
    """Distance after the dummy gradient is halved, as the shared one was."""

    def __call__(self, dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        return self.base({k: x / 2 for k, x in dummy.items()}, shared)


def test_foreign_wrappers_are_nested_like_all_others() -> None:
    pruning, noise = (countermeasure(n).answer(Known()) for n in ("pruning", "gaussian-noise"))
    attack = compose(DLG(), [pruning, Answer((Halved(),)), noise])
    expected: Objective = Halved(GaussianLikelihood(1e-2))
    assert attack.objective == SurvivingDistance(expected, floor=0.03)


@pytest.mark.slow
@pytest.mark.usefixtures("relative_noise")
def test_behind_foreign_noise_rounding_costs_the_attacker_nothing(public_images: Tensor) -> None:
    """Registered by somebody else, and followed by a defense that changes next to nothing."""
    victims = fashion_victims(2, shrink=2)
    noise: Defense = RelativeNoise(share=0.1)
    known = Known(public=public_images, gradient_rms=0.03)
    naive = IDLG(evaluations=80)

    def psnr(chain: list[Countermeasure], *clients: Defense) -> float:
        seen = victims.observations(*clients)
        return float(victims.psnr(adapt(naive, chain, known).run(victims.model, seen)).mean())

    answer = ExpectRelativeNoise(share=0.1)
    blind = psnr([], noise)
    alone = psnr([answer], noise)
    both = psnr([answer, AllowForFp16()], noise, Fp16())
    assert alone > blind + 3
    assert both > alone - 1


@pytest.mark.parametrize("spread", [None, 0.0, -1.0, math.nan])
def test_a_likelihood_needs_a_spread(spread: float | None) -> None:
    with pytest.raises(AttackError, match=f"expected a spread > 0, found {spread}; give the root"):
        Answer(likelihood=SquaredDistance(), spread=spread)


# Sizes.


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fp16", {}),
        ("bfloat16", {}),
        ("int8", {}),
        ("signsgd", {}),
        ("qsgd", {"levels": 64}),
        ("qsgd", {"levels": 1000}),
        ("stochastic-quantisation", {"bits": 4}),
        ("stochastic-quantisation", {"bits": 8}),
        ("gaussian-noise", {"std": 1e-3}),
        ("laplacian-noise", {"scale": 1e-3}),
        ("relative-noise", {"share": 0.1}),
    ],
)
@pytest.mark.parametrize("shrink", [1, 2])
@pytest.mark.usefixtures("relative_noise")
def test_the_spread_is_that_of_the_defense(
    name: str, parameters: dict[str, object], shrink: int
) -> None:
    victims = fashion_victims(1, shrink=shrink)
    [clear] = victims.observations()
    [seen] = victims.observations(DEFENSES.get(name)(**parameters))
    there, found = (
        torch.cat([o.gradient[k].flatten() for k in clear.gradient]) for o in (clear, seen)
    )
    known = Known(gradient_rms=float(there.square().mean().sqrt()))
    [answer] = [countermeasure(name, **parameters).answer(known)]
    spread = float((found - there).square().mean().sqrt())
    assert answer.spread == pytest.approx(spread, rel=0.4)


def test_clipping_makes_what_comes_before_it_as_much_smaller() -> None:
    """Noise that is far larger than a clipped gradient drowns the rounding of that gradient."""
    known = Known(gradient_rms=1.0, coordinates=10_000)
    private = countermeasure("local-dp", norm=1e-3, noise_multiplier=1.0)
    for rounding in ("fp16", "bfloat16", "int8"):
        chain = [private, countermeasure(rounding)]
        assert adapt(DLG(), chain, known) == adapt(DLG(), [private], known)
    noise, rounding = countermeasure("gaussian-noise", std=1e-4), countermeasure("fp16")
    before, after = (
        adapt(DLG(), chain, known)
        for chain in (
            [noise, countermeasure("clipping", norm=1.0), rounding],
            [countermeasure("clipping", norm=1.0), noise, rounding],
        )
    )
    tolerance = RoundingTolerance("fp16", share=0.5)
    assert before.objective == ClippedDistance(tolerance, norm=1.0)
    assert after.objective == ClippedDistance(GaussianLikelihood(1e-4), norm=1.0)


def test_noise_below_the_levels_leaves_them() -> None:
    """The same chain at two sizes of gradients: what is large decides, not the order."""
    for size, kept in ((0.003, "gaussian-noise"), (0.3, "qsgd")):
        chain = [countermeasure(n) for n in ("gaussian-noise", "qsgd")]
        known = Known(gradient_rms=size)
        assert adapt(DLG(), chain, known) == adapt(DLG(), [countermeasure(kept)], known)


# In which order, and what is kept.


def test_what_was_done_to_the_gradient_is_done_in_that_order() -> None:
    objective = adapted("clipping", "pruning").objective
    assert objective == ClippedDistance(SurvivingDistance(), norm=1.0)
    objective = adapted("pruning", "clipping").objective
    assert objective == SurvivingDistance(ClippedDistance(norm=1.0))


@pytest.mark.parametrize("name", ["signsgd", "qsgd", "stochastic-quantisation"])
def test_signs_and_levels_outlast_rounding(name: str) -> None:
    assert adapted(name, "fp16") == adapted(name)


def test_zeros_before_signs_are_taken_for_positive() -> None:
    assert unwrapped(adapted("pruning", "signsgd").objective)[1] == SignMatch(1e4, plus=False)


def test_noise_leaves_signs_and_hides_levels() -> None:
    assert adapted("signsgd", "gaussian-noise") == adapted("signsgd")
    assert adapted("gaussian-noise", "qsgd") == adapted("gaussian-noise")
    assert adapted("qsgd", "gaussian-noise").objective == GaussianLikelihood(1e-2)


def test_levels_that_smaller_noise_hides_are_noise_too() -> None:
    """The likelihood of levels reads them off the upload."""
    levels = countermeasure("qsgd")
    spread = levels.answer(Known()).spread
    assert spread is not None
    for std in (spread / 2, spread / 1000):
        noise = countermeasure("gaussian-noise", std=std)
        attack = adapt(DLG(), [levels, noise], Known())
        assert attack.objective == GaussianLikelihood(math.hypot(std, spread))
        assert len(attack.priors) == 1
        assert adapt(DLG(), [noise, levels], Known()) == adapt(DLG(), [levels], Known())
    nothing = countermeasure("gaussian-noise", std=1e-9)
    assert adapt(DLG(), [levels, nothing], Known()) == adapt(DLG(), [levels], Known())


def test_a_gradient_is_computed_before_it_is_pruned() -> None:
    objective = adapted("soteria", "pruning", "gaussian-noise").objective
    assert unwrapped(objective)[1] == GaussianLikelihood(1e-2)
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
    found = informed("gaussian-noise", attack).objective
    survivors = SurvivingDistance(GaussianLikelihood(1e-2), floor=0.03)
    assert found == SharedLayersDistance(survivors, floor=0.015)


@pytest.mark.parametrize("order", [1, -1])
def test_the_larger_of_two_noises_counts_whichever_comes_first(order: int) -> None:
    chain = [countermeasure("gaussian-noise", std=std) for std in (1e-3, 1e-1)[::order]]
    attack = adapt(DLG(), chain, Known())
    assert attack.objective == GaussianLikelihood(1e-1)
    assert len(attack.priors) == 1


@every_noise
@pytest.mark.parametrize("rounding", ["fp16", "bfloat16", "int8"])
def test_noise_drowns_rounding(name: str, rounding: str) -> None:
    for names in ((name, rounding), (rounding, name)):
        assert adapted(*names) == adapted(name)


@pytest.mark.parametrize("names", list(itertools.permutations(["fp16", "int8"])))
def test_the_coarser_of_two_roundings_counts(names: tuple[str, str]) -> None:
    assert adapted(*names).objective == RoundingTolerance("int8", share=0.5)


def test_an_objective_below_pruning_stays() -> None:
    assert unwrapped(adapted("pruning").objective)[1] == SquaredDistance()
    assert adapted("pruning", "fp16").objective == SurvivingDistance(
        RoundingTolerance("fp16", share=0.5)
    )


def test_the_whole_gradient_is_clipped_before_it_is_pruned() -> None:
    survivors = SurvivingDistance(GaussianLikelihood(0.5 * 1e-2))
    assert adapted("dp-sgd", "pruning").objective == ClippedDistance(survivors, norm=0.5)
