"""Objectives in closed form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap

from fedsim.attacks.adaptive.clipping import ClippedDistance
from fedsim.attacks.adaptive.layer_dropout import SharedLayersDistance
from fedsim.attacks.adaptive.pruning import SurvivingDistance
from fedsim.attacks.adaptive.qsgd import RandomRoundingLikelihood
from fedsim.attacks.adaptive.rounding import RoundingTolerance
from fedsim.attacks.adaptive.signsgd import SignMatch
from fedsim.attacks.adaptive.soteria import WithoutLastWeight
from fedsim.attacks.adaptive.sparsification import ScaledDistance
from fedsim.attacks.matching.objectives import (
    CosineDistance,
    GaussianLikelihood,
    LaplacianLikelihood,
    Objective,
    SquaredDistance,
    nested,
    unwrapped,
)
from fedsim.clients.defenses import (
    Bfloat16,
    Clipping,
    Defense,
    Fp16,
    Int8,
    LayerClipping,
    SignSGD,
    protect,
)
from fedsim.core.errors import AttackError

pytestmark = pytest.mark.numeric

DUMMY = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor([5.0])}
SHARED = {"w": torch.tensor([[0.0, 2.5], [0.0, 1.0]]), "b": torch.tensor([5.5])}

FORMATS: dict[str, Defense] = {"fp16": Fp16(), "bfloat16": Bfloat16(), "int8": Int8()}
OBJECTIVES: list[Objective] = [
    SquaredDistance(),
    CosineDistance(),
    GaussianLikelihood(0.5),
    LaplacianLikelihood(0.5),
    SurvivingDistance(),
    SurvivingDistance(GaussianLikelihood(0.5), floor=0.1),
    SharedLayersDistance(),
    SharedLayersDistance(CosineDistance()),
    WithoutLastWeight(),
    WithoutLastWeight(CosineDistance()),
    ClippedDistance(norm=100.0),
    ClippedDistance(GaussianLikelihood(0.5), norm=100.0),
    RoundingTolerance("fp16"),
    RoundingTolerance("bfloat16", share=0.5),
    RoundingTolerance("int8", share=0.0),
    ClippedDistance(norm=9.0),
    ClippedDistance(GaussianLikelihood(0.1), norm=9.0, by_tensor=True),
    SignMatch(),
    RandomRoundingLikelihood(),
    RandomRoundingLikelihood(levels=3),
]
every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
every_format = pytest.mark.parametrize("name", FORMATS)

finite = st.floats(-9, 9, width=32)
vectors = st.lists(finite, min_size=3, max_size=3)


def random_gradient(seed: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"w": (4, 3), "b": (4,)}
    return {k: torch.randn(s, generator=generator, dtype=dtype) for k, s in shapes.items()}


def rounded(defense: Defense, *values: float) -> Tensor:
    upload = {"w": torch.tensor(values)}
    return protect([defense], upload, torch.Generator()).tensors["w"]


# What all of them keep to.


@every_objective
def test_a_perfect_match_is_zero_and_flat(objective: Objective) -> None:
    shared = random_gradient(0)
    assert objective(shared, shared) == pytest.approx(0, abs=1e-12)
    slope = grad(lambda dummy: objective(dummy, shared))(shared)
    for part in slope.values():
        torch.testing.assert_close(part, torch.zeros_like(part), rtol=0, atol=1e-6)


@every_objective
def test_anything_far_is_positive(objective: Objective) -> None:
    assert objective(random_gradient(1), random_gradient(0)) > 0.01


@every_objective
def test_nothing_at_all_is_positive_with_a_finite_derivative(objective: Objective) -> None:
    """The objective of a zero gradient is the scale of a relative objective."""
    shared = random_gradient(0, torch.float32)
    nothing = {k: torch.zeros_like(s) for k, s in shared.items()}
    assert 0.01 < objective(nothing, shared) < math.inf
    slope = grad(lambda dummy: objective(dummy, shared))(nothing)
    assert all(bool(part.isfinite().all()) for part in slope.values())


@every_objective
def test_derivatives(objective: Objective) -> None:
    shared = random_gradient(0)
    dummy = {k: x.requires_grad_() for k, x in random_gradient(1).items()}

    def value(w: Tensor, b: Tensor) -> Tensor:
        return objective({"w": w, "b": b}, shared)

    assert torch.autograd.gradcheck(value, (dummy["w"], dummy["b"]))


@every_objective
def test_mapped_over_lanes_it_is_the_same(objective: Objective) -> None:
    lanes = [(random_gradient(10 + i), random_gradient(20 + i)) for i in range(3)]
    stacked = [{k: torch.stack([lane[j][k] for lane in lanes]) for k in "wb"} for j in (0, 1)]
    expected = torch.stack([objective(dummy, shared) for dummy, shared in lanes])
    torch.testing.assert_close(vmap(objective)(*stacked), expected)


@every_objective
def test_inputs_are_left_alone(objective: Objective) -> None:
    dummy, shared = random_gradient(1), random_gradient(0)
    objective(dummy, shared)
    for k in "wb":
        assert torch.equal(dummy[k], random_gradient(1)[k])
        assert torch.equal(shared[k], random_gradient(0)[k])


# Distances.


def test_squared_distance() -> None:
    assert SquaredDistance()(DUMMY, SHARED) == 1 + 0.25 + 9 + 9 + 0.25


def test_cosine_distance() -> None:
    """The cosine of all coordinates together, not a mean over tensors."""
    ours, theirs = (torch.cat([g["w"].flatten(), g["b"]]) for g in (DUMMY, SHARED))
    expected = 1 - torch.nn.functional.cosine_similarity(ours, theirs, dim=0)
    assert CosineDistance()(DUMMY, SHARED) == pytest.approx(float(expected), abs=1e-6)


@given(ours=vectors, theirs=vectors, factor=st.floats(0.1, 10))
def test_cosine_distance_knows_no_length(
    ours: list[float], theirs: list[float], factor: float
) -> None:
    dummy, shared = torch.tensor(ours), torch.tensor(theirs)
    value = CosineDistance()({"w": dummy}, {"w": shared})
    assert 0 <= value <= 2 + 1e-6
    if dummy.norm() > 0.01 and shared.norm() > 0.01:
        longer = CosineDistance()({"w": factor * dummy}, {"w": shared})
        assert longer == pytest.approx(float(value), abs=1e-5)


# Likelihoods.


@pytest.mark.parametrize(
    ("objective", "density", "tolerance"),
    [
        (GaussianLikelihood(0.3), torch.distributions.Normal(0.0, 0.3), 1e-4),
        # The smoothing takes up to a tenth off each coordinate.
        (LaplacianLikelihood(0.3), torch.distributions.Laplace(0.0, 0.3), 16 * 0.1),
    ],
    ids=["Gaussian", "Laplacian"],
)
def test_likelihoods_are_those_of_the_noise(
    objective: Objective, density: torch.distributions.Distribution, tolerance: float
) -> None:
    shared = random_gradient(0)

    def log_likelihood(dummy: dict[str, Tensor]) -> float:
        return float(sum(density.log_prob(shared[k] - dummy[k]).sum() for k in shared))

    expected = log_likelihood(shared) - log_likelihood(random_gradient(1))
    assert objective(random_gradient(1), shared) == pytest.approx(expected, abs=tolerance)


@given(one=finite, other=finite)
def test_laplacian_likelihood_grows_with_the_distance(one: float, other: float) -> None:
    costs = [
        LaplacianLikelihood(0.1)({"w": torch.tensor([x])}, {"w": torch.zeros(1)})
        for x in sorted((one, other), key=abs)
    ]
    assert costs[0] <= costs[1]


def test_likelihoods_tell_their_spread() -> None:
    assert GaussianLikelihood(0.2).std == 0.2
    assert LaplacianLikelihood(0.2).std == pytest.approx(0.2 * math.sqrt(2))


# What is left out.


def test_surviving_distance_ignores_the_zeros_of_the_upload() -> None:
    assert SurvivingDistance()(DUMMY, SHARED) == 0.25 + 9 + 0.25
    slope = grad(lambda dummy: SurvivingDistance()(dummy, SHARED))(DUMMY)
    assert slope["w"].tolist() == [[0, -1], [0, 6]]


def test_surviving_distance_ignores_what_noise_explains() -> None:
    assert SurvivingDistance(floor=1.5)(DUMMY, SHARED) == 0.25 + 0.25


def test_survivors_are_compared_by_the_base() -> None:
    objective = SurvivingDistance(GaussianLikelihood(0.5))
    assert objective(DUMMY, SHARED) == (0.25 + 9 + 0.25) / (2 * 0.25)


@given(dummy=st.lists(finite, min_size=1, max_size=9))
def test_without_zeros_both_are_the_same(dummy: list[float]) -> None:
    ours, shared = {"w": torch.tensor(dummy)}, {"w": torch.linspace(1, 2, len(dummy))}
    assert SurvivingDistance()(ours, shared) == SquaredDistance()(ours, shared)


def test_layers_that_were_not_shared_are_left_out() -> None:
    shared = {**SHARED, "b": torch.zeros(1)}
    assert SharedLayersDistance()(DUMMY, shared) == 1 + 0.25 + 9 + 9
    assert SharedLayersDistance()(DUMMY, SHARED) == SquaredDistance()(DUMMY, SHARED)


def test_layers_that_were_not_shared_are_left_out_below_noise() -> None:
    shared = {**SHARED, "b": torch.full((1,), 0.1)}
    assert SharedLayersDistance(floor=0.2)(DUMMY, shared) == 1 + 0.25 + 9 + 9


def test_the_last_dense_weight_is_left_out() -> None:
    conv, dense = {"conv": torch.ones(1, 1, 3, 3)}, {"early": torch.ones(2, 2)}
    shared = {**conv, **dense, **SHARED}
    dummy = {**conv, "early": torch.zeros(2, 2), **DUMMY}
    assert WithoutLastWeight()(dummy, shared) == 4 + 0.25
    with pytest.raises(AttackError, match=r"no tensor .* without 'w'"):
        WithoutLastWeight()({"w": DUMMY["w"]}, {"w": SHARED["w"]})


def test_wrappers_nest() -> None:
    whole = SharedLayersDistance(SurvivingDistance(CosineDistance(), floor=1.0))
    wrappers, compared = unwrapped(whole)
    assert compared == CosineDistance()
    assert [type(w) for w in wrappers] == [SharedLayersDistance, SurvivingDistance]
    assert nested(wrappers, compared) == whole
    assert nested(wrappers, SquaredDistance()) == SharedLayersDistance(
        SurvivingDistance(SquaredDistance(), floor=1.0)
    )
    assert unwrapped(SquaredDistance()) == ([], SquaredDistance())
    assert nested([], CosineDistance()) == CosineDistance()


def test_wrappers_above_noise_look_for_what_it_explains() -> None:
    assert SurvivingDistance().above_noise(0.5) == SurvivingDistance(floor=1.5)
    assert SurvivingDistance(floor=2.0).above_noise(0.5) == SurvivingDistance(floor=2.0)
    assert SharedLayersDistance().above_noise(2.0) == SharedLayersDistance(floor=3.0)
    assert ClippedDistance().above_noise(0.5) == ClippedDistance()


@pytest.mark.parametrize("base", [SurvivingDistance(), SignMatch()], ids=str)
def test_an_upload_may_be_short_for_another_reason_than_clipping(base: Objective) -> None:
    """Below the bound nothing was clipped, unless something behind the clipping shortens."""
    longer = {k: 100 * x for k, x in random_gradient(0).items()}
    assert not base.keeps_norm
    unclipped = base(longer, random_gradient(0))
    assert ClippedDistance(base, norm=50.0)(longer, random_gradient(0)) < unclipped
    exact = ClippedDistance(GaussianLikelihood(1.0), norm=50.0)
    assert exact(longer, random_gradient(0)) == pytest.approx(
        float(GaussianLikelihood(1.0)(longer, random_gradient(0)))
    )


# What is done to the dummy.


@pytest.mark.parametrize("by_tensor", [False, True])
@pytest.mark.parametrize("base", [SquaredDistance(), GaussianLikelihood(0.1)], ids=str)
@given(factor=st.floats(0.5, 100), norm=st.floats(0.01, 0.4))
def test_whatever_clips_to_the_upload_costs_nothing(
    base: Objective, by_tensor: bool, factor: float, norm: float
) -> None:
    client: Defense = LayerClipping(norm=norm) if by_tensor else Clipping(norm=norm)
    shared = protect([client], random_gradient(0), torch.Generator()).tensors
    longer = {k: factor * x for k, x in random_gradient(0).items()}
    objective = ClippedDistance(base, norm=norm, by_tensor=by_tensor)
    assert objective(longer, shared) == pytest.approx(0, abs=1e-9)
    assert objective(random_gradient(1), shared) > 1e-5


def test_an_upload_below_the_bound_tells_its_length() -> None:
    shared = random_gradient(0)
    longer = {k: 2 * x for k, x in shared.items()}
    objective = ClippedDistance(
        norm=3 * float(torch.cat([x.flatten() for x in shared.values()]).norm())
    )
    assert objective(shared, shared) == 0
    assert objective(longer, shared) > SquaredDistance()(longer, shared)


def test_the_dummy_is_scaled() -> None:
    doubled = {k: 2 * x for k, x in SHARED.items()}
    assert ScaledDistance(factor=2.0)(SHARED, doubled) == 0


# Signs and levels.


@given(values=st.lists(finite.filter(bool), min_size=1, max_size=9))
def test_the_gradient_has_the_signs_and_sizes_that_it_gave(values: list[float]) -> None:
    upload = {"w": torch.tensor(values).double()}
    shared = protect([SignSGD()], upload, torch.Generator()).tensors
    assert SignMatch()(upload, shared) == pytest.approx(0, abs=1e-12)
    assert SignMatch()({"w": -upload["w"]}, shared) > 0
    assert SignMatch()({"w": 2 * upload["w"]}, shared) == pytest.approx(len(values))


def test_wrong_signs_in_closed_form() -> None:
    shared = {"w": torch.tensor([2.0, -2.0])}
    assert SignMatch(weight=3.0)({"w": torch.tensor([3.0, 1.0])}, shared) == 3 * (1 / 2) ** 2


def test_a_positive_sign_may_be_a_zero() -> None:
    shared = {"w": torch.tensor([2.0, -2.0])}
    assert SignMatch(plus=False)({"w": torch.tensor([-3.0, -1.0])}, shared) == 0


def test_a_tensor_that_was_not_sent_has_no_sign() -> None:
    assert SignMatch()(DUMMY, {k: torch.zeros_like(x) for k, x in DUMMY.items()}) == 0
    nothing = {k: torch.zeros_like(x) for k, x in DUMMY.items()}
    assert RandomRoundingLikelihood()(DUMMY, nothing) == 0


@pytest.mark.parametrize("levels", [None, 4])
@pytest.mark.parametrize("x", [0.1, 0.4, 0.5, 0.7, 0.95])
def test_random_rounding_has_its_likelihood(levels: int | None, x: float) -> None:
    """A value x between the levels 0 and 1 goes to 1 with the probability x."""
    objective = RandomRoundingLikelihood(levels)
    for level, probability in ((0.0, 1 - x), (1.0, x)):
        shared = {"w": torch.tensor([level, 4.0, -1.0])}
        cost = objective({"w": torch.tensor([x, 4.0, -1.0])}, shared)
        assert math.exp(-cost) == pytest.approx(probability, abs=0.011)


def test_a_level_out_of_reach_costs_more_than_any_within() -> None:
    shared = {"w": torch.tensor([0.0, 1.0])}
    costs = [
        float(RandomRoundingLikelihood(1)({"w": torch.tensor([x, 1.0])}, shared))
        for x in (0.0, 0.5, 0.99, 1.5, 3.0)
    ]
    assert costs == sorted(costs)


# Rounding.


@every_format
@given(
    values=st.lists(
        st.floats(-70000, 70000, width=32) | st.floats(-(2**-10), 2**-10, width=32),
        min_size=1,
        max_size=9,
    )
)
def test_whatever_rounds_to_the_upload_costs_nothing(name: str, values: list[float]) -> None:
    shared = rounded(FORMATS[name], *values)
    objective = RoundingTolerance(name)  # type: ignore[arg-type]
    assert objective({"w": torch.tensor(values)}, {"w": shared}) == 0


@every_format
@given(
    values=st.lists(st.floats(2**-7, 1, width=32), min_size=1, max_size=9),
    unit=st.sampled_from([0.5, 4.0, 10.0]),
)
def test_rounding_is_allowed_for_in_the_unit_of_the_upload(
    name: str, values: list[float], unit: float
) -> None:
    """As in an update, which is rounded before the adversary divides it by the learning rate."""
    gradient = {"w": torch.tensor(values)}
    shared = unit * rounded(FORMATS[name], *(gradient["w"] / unit).tolist())
    objective = RoundingTolerance(name, unit=unit, share=1.001)  # type: ignore[arg-type]
    assert objective(gradient, {"w": shared}) == 0


@every_format
@given(value=st.floats(0.01, 1), factor=st.floats(1.01, 9))
def test_more_than_rounding_costs(name: str, value: float, factor: float) -> None:
    """And all the more, the further it is."""
    objective = RoundingTolerance(name)  # type: ignore[arg-type]
    shared = rounded(FORMATS[name], value, 1.0).double()
    spacing = {
        "fp16": 2.0 ** (math.floor(math.log2(float(shared[0]))) - 10),
        "bfloat16": 2.0 ** (math.floor(math.log2(float(shared[0]))) - 7),
        "int8": 1 / 127,
    }[name]
    offset = torch.tensor([spacing / 2, 0.0]).double()
    near, far = (objective({"w": shared + f * offset}, {"w": shared}) for f in (factor, factor + 1))
    assert 0 < near < far


def test_rounding_beyond_the_range_of_half_precision() -> None:
    objective = RoundingTolerance("fp16")
    shared = {"w": rounded(Fp16(), 1e9, -1e9)}
    assert shared["w"].tolist() == [65504, -65504]
    assert objective({"w": torch.tensor([7e7, -7e7])}, shared) == 0
    assert objective({"w": torch.tensor([6e4, -7e7])}, shared) > 0


def test_part_of_the_interval_draws_to_its_middle() -> None:
    shared = {"w": torch.tensor([1.0, 0.5])}
    quarter = {"w": torch.tensor([1.0 + 2**-12, 0.5])}  # half of half a spacing of 2^-10
    assert RoundingTolerance("fp16", share=0.51)(quarter, shared) == 0
    assert RoundingTolerance("fp16", share=0.49)(quarter, shared) > 0


def test_a_small_value_is_known_more_precisely() -> None:
    shared = {"w": torch.tensor([1.0, 0.125])}
    large, small = ({"w": torch.tensor(w)} for w in ([1.01, 0.125], [1.0, 0.135]))
    objective = RoundingTolerance("bfloat16")
    assert objective(small, shared) > 2 * objective(large, shared)
