"""Defenses of the uploads of several rounds, which are compared together.

The tensors of all rounds are in one mapping, by ``rounds.<number>.<name>``
(`fedsim.attacks.rounds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from typing_extensions import override

from fedsim.attacks.matching.objectives import Gradient, Wrapper, compared
from fedsim.attacks.matching.processing import Change

PREFIX = "rounds."


def by_round(gradient: Gradient) -> list[dict[str, Tensor]]:
    """Return the tensors of each round by their own names; a single upload is one round."""
    rounds: dict[str, dict[str, Tensor]] = {}
    for name, x in gradient.items():
        number, _, own = name.removeprefix(PREFIX).partition(".")
        together = name.startswith(PREFIX) and number.isdecimal()
        rounds.setdefault(number if together else "", {})[own if together else name] = x
    return list(rounds.values())


def joined(rounds: Sequence[Gradient]) -> dict[str, Tensor]:
    """Return the tensors of all rounds by the names of their round."""
    return {f"{PREFIX}{i}.{name}": x for i, own in enumerate(rounds) for name, x in own.items()}


@dataclass(frozen=True)
class InEachRound(Wrapper):
    """The effect of a wrapper on the upload of each round.

    Attributes:
        inner: the wrapper; its own base is not used.
    """

    inner: Wrapper | None = None

    @override
    def __call__(self, dummy: Gradient, shared: Gradient) -> Tensor:
        if self.inner is None:
            return self.base(dummy, shared)
        own = replace(self.inner, base=self.base)
        pairs = zip(by_round(dummy), by_round(shared), strict=True)
        dummies, uploads = zip(*(compared(own, d, s) for d, s in pairs), strict=True)
        return self.base(joined(dummies), joined(uploads))


@dataclass(frozen=True)
class ChangeInEachRound(Change):
    """A change of the gradient of each round.

    Attributes:
        inner: the change.
    """

    inner: Change

    @override
    def __call__(self, gradient: Gradient) -> dict[str, Tensor]:
        return joined([self.inner(own) for own in by_round(gradient)])
