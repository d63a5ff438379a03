"""Contract of defenses."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from fedsim.clients.defenses import Computed, DefendedSteps, Defense, Private, protect
from fedsim.clients.defenses.steps import acts_on_steps
from fedsim.clients.training import differentiate
from fedsim.models import MLP
from fedsim.testing.contract import Claim, Subject, expect, expect_equal, unchanged_randomness

UPLOADS: dict[str, dict[str, tuple[int, ...]]] = {
    "a scalar": {"temperature": ()},
    "a vector": {"bias": (12,)},
    "a convolution": {"weight": (4, 3, 5, 5), "bias": (4,)},
    "no coordinates": {"weight": (0, 3)},
    "nothing": {},
}
SHAPE, CLASSES = (1, 8, 8), 5


def claims(cls: type[Defense]) -> list[Claim]:
    """Return the claims about a class of defenses."""
    common: list[Claim] = [
        names_shapes_and_dtypes_stay,
        the_upload_given_is_untouched,
        the_generator_alone_decides,
        other_tensors_pass,
        uploads_of_any_layout_and_precision_are_taken,
        its_record_holds_name_parameters_and_measures,
    ]
    steps: list[Claim] = [
        steps_keep_shapes,
        steps_leave_their_input_untouched,
        steps_follow_the_generator_alone,
    ]
    own = steps if acts_on_steps(cls) else [its_example_changes_the_upload]
    identity: list[Claim] = [] if cls.identity is None else [its_identity_changes_nothing]
    return common + own + identity


def names_shapes_and_dtypes_stay(subject: Subject) -> None:
    """An upload keeps names, shapes and dtypes, and the report consists of floats."""
    for what, shapes in UPLOADS.items():
        for dtype in (torch.float32, torch.float64):
            done = subject.make().protect_upload(_upload(shapes, dtype), _generator())
            found = {key: tuple(x.shape) for key, x in done.tensors.items()}
            expect(found == shapes, f"{what}: shapes {found}, expected {shapes}")
            same = all(x.dtype == dtype for x in done.tensors.values())
            expect(same, f"{what}: another dtype than {dtype}")
            floats = all(isinstance(v, float) for v in done.did.values())
            expect(floats, f"{what}: 'did' holds what is not a float: {dict(done.did)}")


def the_upload_given_is_untouched(subject: Subject) -> None:
    """Neither the mapping nor its tensors are modified."""
    for what, shapes in UPLOADS.items():
        upload = _upload(shapes)
        unchanged_randomness(lambda u=upload: subject.make().protect_upload(u, _generator()))  # type: ignore[misc]
        expect(_equal(upload, _upload(shapes)), f"{what}: the upload given was modified")


def the_generator_alone_decides(subject: Subject) -> None:
    """The same seed gives the same upload; another seed another, if anything is drawn."""
    defense, upload = subject.make(), _upload(UPLOADS["a convolution"])
    generator = _generator()
    before = generator.get_state()
    first = defense.protect_upload(upload, generator).tensors
    drew = not torch.equal(before, generator.get_state())
    again = defense.protect_upload(upload, _generator()).tensors
    other = defense.protect_upload(upload, _generator(1)).tensors
    expect(_equal(first, again), "the same seed gave two uploads")
    expect(_equal(first, other) != drew, "what is drawn from the generator does not matter")


def other_tensors_pass(subject: Subject) -> None:
    """Tensors that are not floating-point do not change."""
    fixed = {"count": torch.tensor(7), "mask": torch.tensor([True, False])}
    done = subject.make().protect_upload({**_upload({"weight": (6,)}), **fixed}, _generator())
    for name, tensor in fixed.items():
        found = done.tensors[name]
        expect(found.dtype == tensor.dtype, f"{name}: the dtype became {found.dtype}")
        expect_equal(found, tensor, f"{name}: the values changed")


def uploads_of_any_layout_and_precision_are_taken(subject: Subject) -> None:
    """Transposed and half-precision tensors give finite tensors of their shape and dtype."""
    upload = {
        "transposed": torch.randn(3, 5, generator=_generator()).T,
        "half": torch.randn(9, generator=_generator()).half(),
    }
    done = subject.make().protect_upload(upload, _generator()).tensors
    expect(done["transposed"].shape == (5, 3), "a transposed tensor lost its shape")
    expect(done["half"].dtype == torch.float16, "a half-precision tensor changed its dtype")
    expect(all(bool(x.isfinite().all()) for x in done.values()), "not all values are finite")


def its_record_holds_name_parameters_and_measures(subject: Subject) -> None:
    """A record of the defense has its registered name and its parameters."""
    defense = subject.make()
    [record] = protect([defense], _upload(UPLOADS["a convolution"]), _generator()).records
    expect(record.name == subject.name, f"recorded as {record.name!r}, not {subject.name!r}")
    expect(dict(record.parameters) == asdict(defense), "the recorded parameters are others")


def its_example_changes_the_upload(subject: Subject) -> None:
    """With the example parameters an upload changes."""
    if subject.cls.identity is not None and subject.make(**subject.cls.identity) == subject.make():
        return
    upload = _upload(UPLOADS["a convolution"])
    done = subject.make().protect_upload(upload, _generator()).tensors
    expect(not _equal(done, upload), "the telling parameters change nothing")


def its_identity_changes_nothing(subject: Subject) -> None:
    """With the parameters of ``identity`` uploads and steps do not change."""
    defense = subject.make(**subject.cls.identity)
    for what, shapes in UPLOADS.items():
        upload = _upload(shapes)
        done = defense.protect_upload(upload, _generator())
        expect(_equal(done.tensors, upload), f"{what}: the upload changed")
        expect(done.value_bits is None, f"{what}: value_bits is {done.value_bits}, expected None")
    plain, defended = _step([]), _step([defense])
    for name, value in plain.computed.gradients.items():
        gap = float((defended.computed.gradients[name] - value).abs().max())
        expect(
            gap <= max(1e-4 * float(value.abs().max()), 1e-7),
            f"the gradient of {name!r} of a step changed",
        )


def steps_keep_shapes(subject: Subject) -> None:
    """A defended step trains on as many examples, and gives a gradient for each parameter."""
    done = _step([subject.make()])
    expect(done.images.shape == (2, *SHAPE), f"the batch has shape {tuple(done.images.shape)}")
    expect(done.labels.shape in ((2,), (2, CLASSES)), f"labels {tuple(done.labels.shape)}")
    shapes = {k: p.shape for k, p in _model().named_parameters()}
    found = {k: g.shape for k, g in done.computed.gradients.items()}
    expect(found == shapes, f"gradients of shapes {found}, expected {shapes}")
    finite = all(bool(g.isfinite().all()) for g in done.computed.gradients.values())
    expect(finite, "not all gradients are finite")


def steps_leave_their_input_untouched(subject: Subject) -> None:
    """Neither batch, model nor global random state changes."""
    unchanged_randomness(lambda: _step([subject.make()]))


def steps_follow_the_generator_alone(subject: Subject) -> None:
    """The same seed gives the same step, and another gradient than without the defense."""
    first, again, plain = _step([subject.make()]), _step([subject.make()]), _step([])
    expect(_equal(first.computed.gradients, again.computed.gradients), "one seed gave two steps")
    changed = not _equal(first.computed.gradients, plain.computed.gradients)
    expect(changed, "the telling parameters change nothing")


@dataclass(frozen=True, eq=False)
class _Step:
    images: Tensor
    labels: Tensor
    computed: Computed


def _step(defenses: list[Defense]) -> _Step:
    model, generator = _model(), _generator()
    batch = _batch(2, _generator(1))
    given, state = copy.deepcopy(batch), copy.deepcopy(model.state_dict())
    private = Private(lambda count: _batch(count, generator), CLASSES, model)
    steps = DefendedSteps(defenses, private, generator, differentiate)
    images, labels = steps.protect(batch)
    computed = steps.compute(model, (images, labels))
    expect(all(map(torch.equal, batch, given)), "the private batch was modified")
    expect(_equal(model.state_dict(), state), "the model was modified")
    return _Step(images, labels, computed)


def _model() -> torch.nn.Module:
    return MLP(hidden=(6,)).build(SHAPE, CLASSES, seed=3)


def _batch(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return torch.rand(count, *SHAPE, generator=generator), labels


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _upload(
    shapes: dict[str, tuple[int, ...]], dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    generator = _generator(1)
    return {k: torch.randn(shape, dtype=dtype, generator=generator) for k, shape in shapes.items()}


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
