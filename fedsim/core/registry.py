"""Names for the things that a scenario can ask for.

A class is registered by decorating it::

    @DEFENSES.register("gaussian-noise")
    class GaussianNoise(Defense): ...

The project's own things are found by importing the package named in ``builtin`` on the
first look-up; those of third parties through the entry-point group of the same registry
(``fedsim.attacks``, ``fedsim.defenses``, ...), whose entry points name modules to import.
"""

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, TypeVar

from fedsim.core.errors import UnknownNameError, closest

T = TypeVar("T", bound=type)


class Registry:
    """Classes of one kind by their registered names.

    Args:
        kind: what one entry is called in messages, such as ``"attack"``.
        builtin: the module whose import registers the project's own entries.
        group: the entry-point group through which third parties add theirs.
    """

    def __init__(self, kind: str, builtin: str, group: str) -> None:
        self.kind = kind
        self._builtin = builtin
        self._group = group
        self._classes: dict[str, type[Any]] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a class under ``name``.

        Raises:
            ValueError: the name is taken by another class.
        """

        def decorate(cls: T) -> T:
            taken = self._classes.get(name)
            if taken is not None and taken.__qualname__ != cls.__qualname__:
                raise ValueError(f"the {self.kind} name {name!r} is taken by {taken.__qualname__}")
            self._classes[name] = cls
            return cls

        return decorate

    def names(self) -> list[str]:
        """Return all registered names, sorted."""
        self._load()
        return sorted(self._classes)

    def get(self, name: str) -> type[Any]:
        """Return the class registered under ``name``.

        Raises:
            UnknownNameError: there is none; the message offers the nearest name.
        """
        self._load()
        try:
            return self._classes[name]
        except KeyError:
            raise UnknownNameError(
                f"unknown {self.kind} {name!r}: {closest(name, self._classes)}"
            ) from None

    def holds(self, thing: object) -> bool:
        """Return whether ``thing`` is an instance of a registered class."""
        return type(thing) in self._classes.values()

    def name_of(self, thing: object) -> str:
        """Return the name under which the class of ``thing`` is registered."""
        for name, cls in self._classes.items():
            if cls is type(thing):
                return name
        raise UnknownNameError(f"{type(thing).__qualname__} is not a registered {self.kind}")

    def summary(self, name: str) -> str:
        """Return the first line of the docstring of the class registered under ``name``."""
        return (self.get(name).__doc__ or "").strip().split("\n")[0]

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        importlib.import_module(self._builtin)
        for entry in entry_points(group=self._group):
            entry.load()


ATTACKS: Registry = Registry("attack", "fedsim.attacks", "fedsim.attacks")
COUNTERMEASURES: Registry = Registry(
    "countermeasure", "fedsim.attacks.adaptive", "fedsim.countermeasures"
)
DEFENSES: Registry = Registry("defense", "fedsim.clients.defenses", "fedsim.defenses")
MODELS: Registry = Registry("model", "fedsim.models", "fedsim.models")
DATASETS: Registry = Registry("data set", "fedsim.data", "fedsim.datasets")
PARTITIONS: Registry = Registry("partition", "fedsim.data.partitions", "fedsim.partitions")
AGGREGATIONS: Registry = Registry(
    "aggregation", "fedsim.scenario.aggregation", "fedsim.aggregations"
)

REGISTRIES = {
    "attacks": ATTACKS,
    "defenses": DEFENSES,
    "models": MODELS,
    "datasets": DATASETS,
    "partitions": PARTITIONS,
    "countermeasures": COUNTERMEASURES,
    "aggregations": AGGREGATIONS,
}
