"""What every defense keeps to: all registered ones, of all shapes and dtypes."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from fedsim.clients.defenses import Defense, Protected, protect
from fedsim.core.registry import DEFENSES

pytestmark = pytest.mark.numeric

# A telling strength for each registered defense. A new one needs an entry here, and below if its
# weakest strength changes nothing or if it draws random numbers.
TELLING: dict[str, dict[str, float]] = {
    "none": {},
    "gaussian-noise": {"std": 0.1},
    "laplacian-noise": {"scale": 0.1},
    "fp16": {},
    "bfloat16": {},
    "int8": {},
    "pruning": {"fraction": 0.3},
    "dgc": {"fraction": 0.3, "momentum": 0.9, "warmup": 0},
    "clipping": {"norm": 0.1},
    "layer-clipping": {"norm": 0.1},
    "local-dp": {"norm": 0.1, "noise_multiplier": 0.5, "delta": 1e-6},
    "signsgd": {},
    "qsgd": {"levels": 4},
    "stochastic-quantisation": {"bits": 4},
    "random-sparsification": {"fraction": 0.3, "unbiased": True},
    "partial-upload": {"fraction": 0.5},
}
IDENTITY: dict[str, dict[str, float]] = {
    "none": {},
    "gaussian-noise": {"std": 0.0},
    "laplacian-noise": {"scale": 0.0},
    "pruning": {"fraction": 0.0},
    "dgc": {"fraction": 0.0},
    "clipping": {"norm": 1e6},
    "layer-clipping": {"norm": 1e6},
    "random-sparsification": {"fraction": 0.0, "unbiased": True},
    "partial-upload": {"fraction": 0.0},
}
STOCHASTIC = {
    "gaussian-noise",
    "laplacian-noise",
    "local-dp",
    "qsgd",
    "stochastic-quantisation",
    "random-sparsification",
    "partial-upload",
}

# The same for those that change a step's batch or its gradient and let uploads pass. What they
# keep to is in test_step_contract.py.
STEPS: dict[str, dict[str, float]] = {
    "dp-sgd": {"norm": 0.5, "noise_multiplier": 0.1, "delta": 1e-5},
    "instahide": {"images": 3},
    "mixup": {"alpha": 1.0},
    "soteria": {"fraction": 0.3},
    "transform-search": {"candidates": 2},
}

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "scalar": {"temperature": ()},
    "vector": {"bias": (12,)},
    "conv": {"weight": (4, 3, 5, 5), "bias": (4,)},
    "no coordinates": {"weight": (0, 3)},
    "empty": {},
}

every_defense = pytest.mark.parametrize("name", TELLING)
every_upload = pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def make(name: str, strengths: dict[str, dict[str, float]] = TELLING) -> Defense:
    defense: Defense = DEFENSES.get(name)(**strengths[name])
    return defense


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def upload_of(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, Tensor]:
    rng = generator(1)
    return {name: torch.randn(shape, dtype=dtype, generator=rng) for name, shape in shapes.items()}


def apply(name: str, upload: dict[str, Tensor], seed: int = 0) -> Protected:
    return make(name).protect_upload(upload, generator(seed))


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_every_registered_defense_is_in_the_table() -> None:
    ours = [n for n in DEFENSES.names() if DEFENSES.get(n).__module__.startswith("fedsim.clients.")]
    assert sorted(TELLING | STEPS) == ours


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


@every_defense
@every_upload
@every_dtype
def test_names_shapes_and_dtypes_stay(
    name: str, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype
) -> None:
    done = apply(name, upload_of(shapes, dtype))
    assert {key: tuple(x.shape) for key, x in done.tensors.items()} == shapes
    assert all(x.dtype == dtype for x in done.tensors.values())
    assert all(isinstance(value, float) for value in done.did.values())


@every_defense
@every_upload
@every_dtype
def test_input_is_untouched(
    name: str, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype
) -> None:
    upload = upload_of(shapes, dtype)
    apply(name, upload)
    assert equal(upload, upload_of(shapes, dtype))


@every_defense
@every_upload
@every_dtype
def test_same_seed_gives_the_same_upload(
    name: str, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype
) -> None:
    upload = upload_of(shapes, dtype)
    assert equal(apply(name, upload).tensors, apply(name, upload).tensors)


@every_defense
def test_another_seed_matters_to_stochastic_ones_alone(name: str) -> None:
    upload = upload_of(SHAPES["conv"], torch.float32)
    same = equal(apply(name, upload, seed=0).tensors, apply(name, upload, seed=1).tensors)
    assert same == (name not in STOCHASTIC)


@every_defense
def test_telling_strength_changes_the_upload(name: str) -> None:
    upload = upload_of(SHAPES["conv"], torch.float32)
    assert equal(apply(name, upload).tensors, upload) == (name == "none")


@pytest.mark.parametrize("name", IDENTITY)
@every_upload
@every_dtype
def test_zero_strength_changes_nothing(
    name: str, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype
) -> None:
    upload = upload_of(shapes, dtype)
    done = make(name, IDENTITY).protect_upload(upload, generator())
    assert equal(done.tensors, upload)
    assert done.value_bits is None


@every_defense
def test_tensors_that_are_not_floating_point_pass(name: str) -> None:
    upload = {
        "weight": torch.randn(6, generator=generator()),
        "num_batches_tracked": torch.tensor(7),
        "mask": torch.tensor([True, False]),
    }
    done = apply(name, upload).tensors
    assert torch.equal(done["num_batches_tracked"], torch.tensor(7))
    assert torch.equal(done["mask"], torch.tensor([True, False]))
    assert done["num_batches_tracked"].dtype == torch.int64


@every_defense
def test_non_contiguous_and_half_precision_uploads(name: str) -> None:
    upload = {
        "transposed": torch.randn(3, 5, generator=generator()).T,
        "half": torch.randn(9, generator=generator()).half(),
    }
    done = apply(name, upload).tensors
    assert done["transposed"].shape == (5, 3)
    assert done["half"].dtype == torch.float16
    assert all(x.isfinite().all() for x in done.values())


@every_defense
def test_protect_records_name_parameters_and_measures(name: str) -> None:
    done = protect([make(name)], upload_of(SHAPES["conv"], torch.float32), generator())
    (record,) = done.records
    assert (record.name, record.parameters) == (name, TELLING[name])


@every_defense
def test_every_parameter_has_a_description(name: str) -> None:
    fields = DEFENSES.get(name).__pydantic_fields__
    assert set(fields) == set(TELLING[name])
    assert all(field.description for field in fields.values())
    assert DEFENSES.summary(name).endswith(".")


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


ALL = TELLING | STEPS
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
    strengths = {(n, p) for n, given in ALL.items() for p, v in given.items() if v is not True}
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
