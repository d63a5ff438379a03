"""The contract of a malicious server's manipulations."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from fedsim.core.errors import RunError
from fedsim.core.modality import PICTURES
from fedsim.core.registry import ATTACKS
from fedsim.models import MLP, ConvNet
from fedsim.models.blocks import with_block
from fedsim.server.malicious import Changed, Isolating, Manipulation, Public
from fedsim.testing.contract import (
    Claim,
    Subject,
    expect,
    expect_equal,
    unchanged_randomness,
)

SHAPE, CLASSES, BATCH = (1, 12, 12), 10, 4
MODELS = (MLP(hidden=(24,), activation="relu"), ConvNet(channels=(4, 8)))
"""Models of which a manipulation must support one."""


def claims(cls: type[Manipulation]) -> list[Claim]:
    """Return the claims about a class of manipulations; only those of pictures are tried."""
    common: list[Claim] = [its_readout_is_an_attack]
    if cls.modalities is not None and PICTURES not in cls.modalities:
        return common
    tried: list[Claim] = [
        *common,
        it_follows_from_its_generator_alone,
        the_client_can_build_what_it_sends,
        it_describes_its_change,
    ]
    return [*tried, it_reads_clients_of_the_round] if issubclass(cls, Isolating) else tried


def its_readout_is_an_attack(subject: Subject) -> None:
    """The attack that reads the result is registered."""
    expect(
        subject.cls.readout in ATTACKS.names(),
        f"readout = {subject.cls.readout!r} is not the name of an attack",
    )


def it_follows_from_its_generator_alone(subject: Subject) -> None:
    """The same generator gives the same model; global randomness and public data are untouched."""
    public = _public()
    before = public.inputs.clone()
    one, _ = _changed(subject, public)
    unchanged_randomness(lambda: _changed(subject, public))
    other, _ = _changed(subject, public)
    for name, value in one.model.state_dict().items():
        expect_equal(other.model.state_dict()[name], value, f"{name} differs at the same seed")
    expect_equal(public.inputs, before, "the public pictures were changed")


def the_client_can_build_what_it_sends(subject: Subject) -> None:
    """Its tensors fit the client's model, or that with the named block; logits are finite."""
    public = _public()
    changed, honest = _changed(subject, public)
    weights = changed.model.state_dict()
    own = copy.deepcopy(honest)
    block = subject.cls.block
    own = own if block is None else with_block(own, block, weights)
    own.load_state_dict(weights)
    logits = own.eval()(public.inputs)
    expect(logits.shape == (len(public.inputs), CLASSES), "the logits have another shape")
    expect(bool(torch.isfinite(logits).all()), "the logits are not finite")
    shapes = {k: v.shape for k, v in weights.items()}
    made = subject.make().architecture(honest, SHAPE).state_dict()
    expect(shapes == {k: v.shape for k, v in made.items()}, "architecture() has other tensors")


def it_describes_its_change(subject: Subject) -> None:
    """Its deed is one clause; named tensors and constants exist; a share is from 0 to 1."""
    changed, honest = _changed(subject, _public())
    expect(bool(changed.what) and changed.what.isprintable(), "'what' is empty or has line breaks")
    known = {*changed.model.state_dict(), *honest.state_dict()}
    missing = sorted(set(changed.tensors) - known)
    expect(not missing, f"the named tensors {missing} do not exist")
    share = changed.expected
    expect(share is None or 0 <= share <= 1, f"expected = {share} is not in 0 to 1")
    expect(all(map(math.isfinite, changed.constants.values())), "a constant is not finite")


def it_reads_clients_of_the_round(subject: Subject) -> None:
    """Of a secure sum it reads clients that it may attack, and asks no others than the round's."""
    public, generator = _public(), torch.Generator().manual_seed(1)
    changed, _ = _changed(subject, public)
    made = subject.make().isolate(changed, [1, 3], [1, 2, 3, 5], public, generator)
    expect(set(made.victims) <= {1, 3} and bool(made.victims), f"it reads {made.victims}")
    expect(set(made.models) <= {1, 2, 3, 5}, f"it asks {sorted(made.models)}")
    expect(set(made.victims) <= set(made.models), "it does not ask all clients that it reads")


def _public() -> Public:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % CLASSES
    return Public(torch.rand((40, *SHAPE), generator=generator), BATCH, labels)


def _changed(subject: Subject, public: Public) -> tuple[Changed, nn.Module]:
    """Return a manipulation's result for the first model that it supports, and that model."""
    reasons = []
    for spec in MODELS:
        model = spec.build(SHAPE, CLASSES, seed=0)
        generator = torch.Generator().manual_seed(0)
        try:
            changed: Changed = subject.make().change(copy.deepcopy(model), public, generator)
        except RunError as error:
            reasons.append(str(error))
            continue
        return changed, model
    raise RunError("; ".join(reasons))
