"""Chains of defenses, and the attackers who know them."""

from collections.abc import Mapping

from torch import Tensor

from fedsim.attacks import DLG, GradientMatching
from fedsim.attacks.adaptive import Countermeasure, Known, adapt, countermeasures_of
from fedsim.clients.defenses import Defense
from fedsim.core.checked import example_of
from fedsim.core.registry import COUNTERMEASURES, DEFENSES, MODELS

PARAMETERS: dict[str, dict[str, object]] = {
    name: example_of((DEFENSES if name in DEFENSES.names() else MODELS).get(name))
    for name in COUNTERMEASURES.names()
}
"""The telling parameters of each defense, and each model, that has a countermeasure."""


def countermeasure(name: str, **parameters: object) -> Countermeasure:
    """Return the countermeasure to a defense with its telling, or with other, parameters."""
    [found] = countermeasures_of([{"name": name, **(parameters or PARAMETERS[name])}])
    return found


def informed(
    name: str,
    attack: GradientMatching,
    known: Known | None = None,
    **parameters: object,
) -> GradientMatching:
    """Return an attack adapted to one defense."""
    return adapt(attack, [countermeasure(name, **parameters)], known or Known())


def described(*names: str) -> list[Mapping[str, object]]:
    """Return defenses as a scenario describes them."""
    return [{"name": name, **PARAMETERS[name]} for name in names]


def adapted(*names: str, public: Tensor | None = None, evaluations: int = 16) -> GradientMatching:
    """Return DLG adapted to a chain of defenses with their telling parameters."""
    attack = DLG(evaluations=evaluations)
    return adapt(attack, countermeasures_of(described(*names)), Known(public=public))


def defenses(*names: str) -> list[Defense]:
    """Return a chain of defenses with their telling parameters."""
    return [DEFENSES.get(name)(**PARAMETERS[name]) for name in names]
