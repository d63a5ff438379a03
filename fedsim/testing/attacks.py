"""Contract of attacks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import torch

from fedsim.attacks import Attack, Reconstruction, Status
from fedsim.testing.contract import (
    HALF_OF_THE_DIGITS,
    Claim,
    Subject,
    expect,
    expect_close,
    expect_equal,
    unchanged_randomness,
)
from fedsim.testing.victims import Case, cases

EFFORT = {"evaluations": 4, "trials": 1}
"""Effort of an attack with these parameters in a check."""

SEED = 3


def claims(cls: type[Attack]) -> list[Claim]:
    """Return the claims about a class of attacks."""
    common: list[Claim] = [
        reconstructions_have_the_shape_of_the_batch,
        some_victims_are_reconstructed,
        nothing_that_was_given_is_touched,
        the_seed_alone_decides,
        other_victims_do_not_matter,
        a_damaged_observation_fails_alone,
        it_stops_when_it_is_asked_to,
    ]
    chunks: list[Claim] = [memory_does_not_matter] if _has(cls, "memory_gb") else []
    return common + chunks


def reconstructions_have_the_shape_of_the_batch(subject: Subject) -> None:
    """Each victim gives a batch in range, or an error with the reason."""
    for case, found in _found(_attack(subject)):
        expect(len(found) == len(case.observations), f"{case.what}: not one for each victim")
        for result, truth in zip(found, case.examples, strict=True):
            _expect_sound(result, truth.shape, case.what)
        expect(_attack(subject).run(case.model, []) == [], "no victims, but reconstructions")


def some_victims_are_reconstructed(subject: Subject) -> None:
    """At least one of the cases yields a reconstruction."""
    found = [result for _, results in _found(_attack(subject)) for result in results]
    errors = "; ".join(sorted({str(r.error) for r in found}))
    expect(any(r.data is not None for r in found), f"no victim was reconstructed: {errors}")


def nothing_that_was_given_is_touched(subject: Subject) -> None:
    """Model, observations and global random state do not change."""
    for number, case in enumerate(_cases(subject)):
        training = number % 2 == 0
        model = copy.deepcopy(case.model).train(training)
        state, seen = copy.deepcopy(model.state_dict()), copy.deepcopy(case.observations)
        attack = _attack(subject)
        unchanged_randomness(lambda a=attack, m=model, c=case: a.run(m, c.observations))  # type: ignore[misc]
        for name, value in model.state_dict().items():
            expect_equal(value, state[name], f"{case.what}: {name!r} of the model changed")
        modes = all(m.training == training for m in model.modules())
        expect(modes, f"{case.what}: the mode of a module changed")
        expect(all(p.grad is None for p in model.parameters()), "a parameter got a .grad")
        for before, after in zip(seen, case.observations, strict=True):
            for name, value in before.gradient.items():
                expect_equal(value, after.gradient[name], "an observation was modified")


def the_seed_alone_decides(subject: Subject) -> None:
    """The same seed gives the same reconstructions."""
    for case, first in _found(_attack(subject)):
        again = _attack(subject).run(case.model, case.observations, seed=SEED)
        for one, other in zip(first, again, strict=True):
            expect(one.error == other.error, f"{case.what}: one seed gave two errors")
            if one.data is not None and other.data is not None:
                expect_equal(one.data, other.data, f"{case.what}: one seed gave two results")


def other_victims_do_not_matter(subject: Subject) -> None:
    """A victim's reconstruction does not depend on the other victims."""
    for number, (case, together) in enumerate(_found(_attack(subject), torch.float64)):
        position = number % len(together)  # the first of one case, the last of the next
        others = [replace(o, gradient={}) for o in case.observations]
        others[position] = case.observations[position]
        alone = _attack(subject).run(case.model, others, seed=SEED)[position]
        _expect_same(together[position], alone, f"{case.what}: other victims matter")


def memory_does_not_matter(subject: Subject) -> None:
    """Reconstructions do not depend on the number of victims attacked at once."""
    for case, whole in _found(_attack(subject), torch.float64):
        attack = _attack(subject, memory_gb=1e-9)
        parts = attack.run(case.model, case.observations, seed=SEED)
        for one, other in zip(whole, parts, strict=True):
            _expect_same(one, other, f"{case.what}: the size of a chunk matters")


def a_damaged_observation_fails_alone(subject: Subject) -> None:
    """An observation that cannot be attacked gives an error, and the others continue."""
    for case in _one_of_each_modality(_cases(subject)):
        first, *rest = case.observations
        name = next(iter(first.gradient))
        nan = {**first.gradient, name: torch.full_like(first.gradient[name], torch.nan)}
        found = _attack(subject).run(case.model, [replace(first, gradient=nan), *rest])
        expect(found[0].status is Status.FAILED, f"{case.what}: NaN was attacked")
        expect(name in str(found[0].error), f"{case.what}: the error does not name the tensor")
        for result, truth in zip(found[1:], case.examples[1:], strict=True):
            _expect_sound(result, truth.shape, case.what)


def it_stops_when_it_is_asked_to(subject: Subject) -> None:
    """An attack stopped before its start returns errors and no reconstruction."""
    for case in _cases(subject):
        found = _attack(subject).run(case.model, case.observations, should_stop=lambda: True)
        failed = all(r.status is Status.FAILED and r.error for r in found)
        expect(failed, f"{case.what}: it went on when it was asked to stop")


def _cases(subject: Subject) -> list[Case]:
    return cases(subject.cls.modalities)


def _one_of_each_modality(found: list[Case]) -> list[Case]:
    return list({case.modality: case for case in found}.values())


@lru_cache(maxsize=4)
def _found(
    attack: Attack, dtype: torch.dtype = torch.float32
) -> list[tuple[Case, list[Reconstruction]]]:
    """Return the cases and the reconstructions of an attack, which its checks share."""
    made = cases(attack.modalities, dtype=dtype)
    return [(case, attack.run(case.model, case.observations, seed=SEED)) for case in made]


def _attack(subject: Subject, **parameters: object) -> Attack:
    effort = {k: v for k, v in EFFORT.items() if _has(subject.cls, k) and k not in subject.given}
    attack: Attack = subject.make(**effort, **parameters)
    return attack


def _has(cls: type[Attack], parameter: str) -> bool:
    return parameter in cls.__pydantic_fields__  # type: ignore[attr-defined]


def _expect_sound(result: Reconstruction, shape: Sequence[int], what: str) -> None:
    data = result.data
    if data is None:
        expect(bool(result.error), f"{what}: neither a reconstruction nor an error")
        return
    expect(result.error is None, f"{what}: both a reconstruction and the error {result.error!r}")
    expect(data.shape == shape, f"{what}: shape {tuple(data.shape)}, expected {tuple(shape)}")
    expect(data.device.type == "cpu", f"{what}: the data are on {data.device}, expected the CPU")
    if data.is_floating_point():
        inside = bool(((data >= 0) & (data <= 1)).all())
        expect(inside, f"{what}: the data are outside of [0, 1]")
    expect(0 <= result.objective < float("inf"), f"{what}: objective {result.objective}")
    times = [snapshot.evaluation for snapshot in result.history]
    expect(times == sorted(set(times)), f"{what}: the history is not in order")


def _expect_same(one: Reconstruction, other: Reconstruction, message: str) -> None:
    expect(one.error == other.error, f"{message}: {one.error} and {other.error}")
    if one.data is None or other.data is None:
        return
    if one.status is Status.COMPUTED and one.relative_objective > HALF_OF_THE_DIGITS:
        return  # the upload does not determine a solution that does not explain it
    if one.data.is_floating_point():
        # A closed form solves one linear system per layer, each of a condition of its own.
        computed = one.status is Status.COMPUTED
        share = HALF_OF_THE_DIGITS**0.5 if computed else HALF_OF_THE_DIGITS
        expect_close(one.data, other.data, message, share)
    else:
        expect_equal(one.data, other.data, message)
    gap = abs(one.relative_objective - other.relative_objective)
    expect(gap <= HALF_OF_THE_DIGITS * max(1.0, one.relative_objective), message)
