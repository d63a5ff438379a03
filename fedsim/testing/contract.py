"""Named checks of a contract, run one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from fedsim.core.checked import example_of
from fedsim.core.parameters import parameters_of
from fedsim.core.registry import Registry

HALF_OF_THE_DIGITS = torch.finfo(torch.float64).eps ** 0.5
"""Maximum relative difference of two double-precision computations of the same value."""


class ContractError(AssertionError):
    """A class violates the contract of its kind."""


@dataclass(frozen=True)
class Check:
    """One claim of a contract about one class.

    Attributes:
        name: the claim, in words.
        run: raises an exception if the claim does not hold.
    """

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        """Run the check.

        Raises:
            ContractError: the claim does not hold; names it.
        """
        try:
            self.run()
        except Exception as error:
            kind = "" if isinstance(error, ContractError) else f"{type(error).__name__}: "
            raise ContractError(f"{self.name}: {kind}{error}") from error

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Subject:
    """A registered class and the parameters with which it is checked.

    Attributes:
        registry: the registry of its kind.
        cls: the class.
        given: replacements for the example parameters.
    """

    registry: Registry
    cls: type[Any]
    given: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The registered name."""
        names = [n for n in self.registry.names() if self.registry.get(n) is self.cls]
        expect(
            len(names) > 0,
            f"{self.cls.__qualname__} is not registered as {self.registry.kind}",
        )
        return names[0]

    def make(self, **parameters: Any) -> Any:
        """Return an object with its example parameters, or with replacements."""
        return self.cls(**{**example_of(self.cls), **self.given, **parameters})


Claim = Callable[[Subject], None]


def subject_of(registry: Registry, thing: type[Any] | str, given: Mapping[str, Any]) -> Subject:
    """Return a class, or the class with a registered name, as the subject of checks."""
    cls = registry.get(thing) if isinstance(thing, str) else thing
    return Subject(registry, cls, given)


def checks_of(subject: Subject, claims: Iterable[Claim]) -> list[Check]:
    """Return the checks of a subject, the parameters' first."""

    def bound(claim: Claim) -> Check:
        return Check(f"{subject.cls.__name__}, {_words(claim)}", lambda: claim(subject))

    return [bound(claim) for claim in (parameters_are_described_and_checked, *claims)]


def expect(condition: bool, message: str) -> None:
    """Raise `ContractError` with a message unless a condition holds."""
    if not condition:
        raise ContractError(message)


def expect_equal(found: Tensor, expected: Tensor, message: str) -> None:
    """Expect two tensors to be equal bit for bit."""
    expect(found.shape == expected.shape and torch.equal(found, expected), message)


def expect_close(
    found: Tensor, expected: Tensor, message: str, share: float = HALF_OF_THE_DIGITS
) -> None:
    """Expect two tensors in double precision to agree, by default in half of their digits."""
    size = float(expected.detach().abs().max()) if expected.numel() else 0.0
    close = torch.allclose(found, expected, rtol=0, atol=share * max(size, 1e-3))
    expect(found.shape == expected.shape and close, message)


def parameters_are_described_and_checked(subject: Subject) -> None:
    """Parameters have descriptions and refuse NaN and unknown names; objects are values."""
    thing, fields = subject.make(), subject.cls.__pydantic_fields__
    expect(bool(subject.registry.summary(subject.name)), "the class has no docstring")
    docstrings = " ".join(base.__doc__ or "" for base in subject.cls.__mro__)
    for name in parameters_of(subject.cls):
        described = fields[name].description or f"{name}:" in docstrings
        expect(bool(described), f"parameter {name!r} has no description")
        if isinstance(getattr(thing, name), float):
            refused(lambda name=name: subject.make(**{name: float("nan")}), f"{name} = NaN")  # type: ignore[misc]
    refused(lambda: subject.make(no_such_parameter=1), "an unknown parameter")
    expect(thing == subject.make(), "two objects of the same parameters are not equal")
    expect(hash(thing) == hash(subject.make()), "equal objects have different hashes")
    expect(copy.deepcopy(thing) == thing, "a copy is not equal")


def refused(make: Callable[[], object], what: str) -> None:
    """Expect a constructor to refuse its arguments."""
    try:
        make()
    except ValidationError:
        return
    raise ContractError(f"{what} is not refused")


def unchanged_randomness(run: Callable[[], object]) -> None:
    """Run a function and expect PyTorch's global generator not to change."""
    before = torch.get_rng_state()
    run()
    expect_equal(torch.get_rng_state(), before, "PyTorch's global random state was changed")


def run_all(checks: Sequence[Check]) -> None:
    """Run checks in order.

    Raises:
        ContractError: at the first that does not hold.
    """
    for check in checks:
        check()


def _words(claim: Claim) -> str:
    return str(getattr(claim, "__name__", claim)).replace("_", " ")
