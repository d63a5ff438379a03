"""The parameters of all registered defenses; `fedsim.testing` checks what these do."""

import dataclasses
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from fedsim.clients.defenses import Defense, acts_on_steps
from fedsim.core.checked import example_of
from fedsim.core.registry import DEFENSES

pytestmark = pytest.mark.numeric


def telling(name: str) -> dict[str, Any]:
    """Return all parameters of a defense, of which some have telling values."""
    cls = DEFENSES.get(name)
    return dataclasses.asdict(cls(**example_of(cls)))


ALL = {name: telling(name) for name in DEFENSES.names()}
STEPS = {name: given for name, given in ALL.items() if acts_on_steps(DEFENSES.get(name))}
"""Those that change a step's batch or its gradient, and let uploads pass."""

TELLING = {name: given for name, given in ALL.items() if name not in STEPS}

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "scalar": {"temperature": ()},
    "vector": {"bias": (12,)},
    "conv": {"weight": (4, 3, 5, 5), "bias": (4,)},
    "no coordinates": {"weight": (0, 3)},
    "empty": {},
}

every_upload = pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def make(name: str, strengths: dict[str, dict[str, Any]] = ALL) -> Defense:
    defense: Defense = DEFENSES.get(name)(**strengths[name])
    return defense


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def upload_of(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, Tensor]:
    rng = generator(1)
    return {name: torch.randn(shape, dtype=dtype, generator=rng) for name, shape in shapes.items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", STEPS)
@every_upload
@every_dtype
def test_uploads_pass_what_acts_before_them(
    name: str, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype
) -> None:
    upload = upload_of(shapes, dtype)
    rng = generator()
    before = rng.get_state()
    done = make(name, STEPS).protect_upload(upload, rng)
    assert equal(done.tensors, upload)
    assert equal(upload, upload_of(shapes, dtype))
    assert (done.value_bits, done.overhead_bytes, dict(done.did)) == (None, 0, {})
    assert torch.equal(rng.get_state(), before)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("gaussian-noise", {"std": -0.1}, "greater than or equal to 0"),
        ("gaussian-noise", {"std": 1e7}, "less than or equal to 1000000"),
        ("gaussian-noise", {"std": float("nan")}, "finite number"),
        ("gaussian-noise", {"std": float("inf")}, "finite number"),
        ("gaussian-noise", {"std": "0.1"}, "valid number"),
        ("gaussian-noise", {"std": True}, "valid number"),
        ("gaussian-noise", {}, "std"),
        ("gaussian-noise", {"sigma": 0.1, "std": 0.1}, "sigma"),
        ("laplacian-noise", {"scale": -1.0}, "greater than or equal to 0"),
        ("pruning", {"fraction": -0.01}, "greater than or equal to 0"),
        ("pruning", {"fraction": 1.01}, "less than or equal to 1"),
        ("fp16", {"bits": 16}, "bits"),
        ("clipping", {"norm": 0.0}, "greater than 0"),
        ("layer-clipping", {"norm": -1.0}, "greater than 0"),
        ("local-dp", {"norm": 0.0, "noise_multiplier": 1.0}, "greater than 0"),
        ("local-dp", {"norm": 1.0, "noise_multiplier": 0.0}, "greater than 0"),
        ("local-dp", {"norm": 1.0, "noise_multiplier": 1.0, "delta": 1.0}, "less than 1"),
        ("local-dp", {"norm": 1.0, "epsilon": 1.0}, "epsilon"),
        ("qsgd", {"levels": 0}, "greater than or equal to 1"),
        ("qsgd", {"levels": 1.5}, "valid integer"),
        ("stochastic-quantisation", {"bits": 1}, "greater than or equal to 2"),
        ("stochastic-quantisation", {"bits": 9}, "less than or equal to 8"),
        ("random-sparsification", {"fraction": 1.0, "unbiased": True}, "less than 1"),
        ("random-sparsification", {"fraction": 0.5}, "unbiased"),
        ("random-sparsification", {"fraction": 0.5, "unbiased": 1}, "valid boolean"),
        ("partial-upload", {"fraction": 1.1}, "less than or equal to 1"),
    ],
)
def test_bad_strength_is_refused(name: str, arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        DEFENSES.get(name)(**arguments)


LIMITS = [
    (name, parameter, kind, limit)
    for name in ALL
    for parameter, field in DEFENSES.get(name).__pydantic_fields__.items()
    for bound in field.metadata
    for kind in ("ge", "gt", "le", "lt")
    if (limit := getattr(bound, kind, None)) is not None
]
WORDS = {
    "ge": "greater than or equal to",
    "gt": "greater than",
    "le": "less than or equal to",
    "lt": "less than",
}


def test_every_strength_has_a_least_value() -> None:
    bounded = {(name, parameter) for name, parameter, kind, _ in LIMITS if kind[0] == "g"}
    numbers = {
        n: {p for p, v in given.items() if type(v) in (int, float)} for n, given in ALL.items()
    }
    strengths = {(n, p) for n, parameters in numbers.items() for p in parameters}
    assert bounded == strengths


@pytest.mark.parametrize(("name", "parameter", "kind", "limit"), LIMITS)
def test_beyond_its_limit_a_strength_is_refused_and_the_limit_named(
    name: str, parameter: str, kind: str, limit: float
) -> None:
    step = {"ge": -1, "gt": 0, "le": 1, "lt": 0}[kind]
    for beyond in {limit + step, limit + (-2 if kind[0] == "g" else 2)}:
        value = int(beyond) if isinstance(ALL[name][parameter], int) else float(beyond)
        expected = rf"{parameter}\n.*{WORDS[kind]} {limit:.0f}\b"
        with pytest.raises(ValidationError, match=expected):
            DEFENSES.get(name)(**{**ALL[name], parameter: value})


def test_shares_and_probabilities_of_privacy_end_where_they_must() -> None:
    limits = {(parameter, kind): limit for _, parameter, kind, limit in LIMITS}
    assert (limits["delta", "gt"], limits["delta", "lt"]) == (0, 1)
    for name in (n for n, given in ALL.items() if "fraction" in given):
        own = {kind: limit for n, p, kind, limit in LIMITS if (n, p) == (name, "fraction")}
        assert own in ({"ge": 0, "le": 1}, {"ge": 0, "lt": 1})


@pytest.mark.parametrize("name", ALL)
def test_what_a_defense_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="epsilon"):
        DEFENSES.get(name)(**ALL[name], epsilon=0.0)


def test_parameters_are_frozen() -> None:
    with pytest.raises(AttributeError):
        make("pruning").fraction = 0.9  # type: ignore[attr-defined]
