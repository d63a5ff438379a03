"""Modalities: one object for each kind of data, with everything that depends on the kind.

Data sets, models, attacks and defenses refer to a modality by its name. A further modality is a
package that registers its object::

    MODALITIES.add(Modality(name="tables", measure=..., judge="tables.judge:TableJudge", ...))

The built-in modalities are registered by importing ``fedsim.modalities``, modalities of third
parties through the entry-point group ``fedsim.modalities``.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from fedsim.core.errors import UnknownNameError, closest
from fedsim.core.measures import Measure
from fedsim.core.plugins import load_entry_points

PICTURES = "pictures"
TEXTS = "texts"


@dataclass(frozen=True)
class Modality:
    """A kind of data.

    The parts are import paths (``"package.module:Class"``), resolved by `part` when they are
    needed: views do not load PyTorch, and runs do not load drawing code.

    Attributes:
        name: the registered name.
        measure: the headline measure of leakage.
        space: the class of an attack's unknowns, a `fedsim.attacks.matching.space.Space`.
        judge: the class that scores reconstructions, a `fedsim.scoring.judge.Judge`.
        artefacts: the class that draws the files of a run, a `fedsim.show.artefacts.Artefacts`.
        view: the class that shows examples in reports and terminals, a `fedsim.show.view.View`.
    """

    name: str
    measure: Measure
    space: str
    judge: str
    artefacts: str
    view: str

    def part(self, name: str) -> Any:
        """Return the object behind one of the import paths.

        Args:
            name: name of the attribute: ``space``, ``judge``, ``artefacts`` or ``view``.
        """
        module, _, attribute = str(getattr(self, name)).partition(":")
        return getattr(importlib.import_module(module), attribute)


class Modalities:
    """Registry of modalities by name.

    Args:
        builtin: the module whose import adds the built-in modalities.
        group: the entry-point group through which third parties add theirs.
    """

    def __init__(self, builtin: str, group: str) -> None:
        self._builtin, self._group = builtin, group
        self._modalities: dict[str, Modality] = {}
        self._loaded = False

    def add(self, modality: Modality) -> Modality:
        """Add a modality and return it.

        Raises:
            ValueError: the name is taken by another one.
        """
        if self._modalities.setdefault(modality.name, modality) != modality:
            raise ValueError(f"the modality name {modality.name!r} is taken")
        return modality

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._load()
        return sorted(self._modalities)

    def get(self, name: str) -> Modality:
        """Return the modality with that name.

        Raises:
            UnknownNameError: the name is not registered; the message offers the nearest name.
        """
        self._load()
        try:
            return self._modalities[name]
        except KeyError:
            known = closest(name, self._modalities)
            raise UnknownNameError(f"unknown modality {name!r}: {known}") from None

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        importlib.import_module(self._builtin)
        load_entry_points(self._group)


MODALITIES = Modalities("fedsim.modalities", "fedsim.modalities")


def modality_of(model: object) -> str:
    """Return the name of a model's modality; pictures by default."""
    return str(getattr(model, "modality", PICTURES))


def suits(modalities: Collection[str] | None, name: str) -> bool:
    """Return whether a set of supported modalities (None: all) contains a modality."""
    return modalities is None or name in modalities
