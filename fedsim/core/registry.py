"""Registries of the classes that a scenario can name.

A class is registered by one decorator, which also makes it the checked, frozen, keyword-only
dataclass of its parameters::

    @DEFENSES.register("gaussian-noise")
    class GaussianNoise(Defense):
        std: Annotated[float, Field(ge=0)]

The project's own classes are found by importing every module of the package named in ``builtin``
on the first look-up; classes of third parties through the entry-point group of the same registry
(``fedsim.attacks``, ``fedsim.defenses``, ...), whose entry points name modules to import.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

from fedsim.core.checked import checked
from fedsim.core.errors import UnknownNameError, closest
from fedsim.core.plugins import load_entry_points

T = TypeVar("T", bound=type)


class Registry:
    """Classes of one kind by their registered names.

    Args:
        kind: noun for one entry in messages, such as ``"attack"``.
        builtin: the package whose modules register the project's own entries.
        group: the entry-point group through which third parties add theirs.
        base: the class that all entries extend, as ``module:name``; any class if None.
    """

    def __init__(self, kind: str, builtin: str, group: str, base: str | None = None) -> None:
        self.kind = kind
        self._builtin = builtin
        self._group = group
        self._base = base
        self._classes: dict[str, type[Any]] = {}
        self._broken: dict[str, str] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a class under ``name``.

        The class becomes a checked, frozen, keyword-only dataclass: see
        `fedsim.core.checked.Parameters`.

        Raises:
            ValueError: the name is taken by another class.
            TypeError: the class does not extend the registry's base, leaves methods of it
                abstract, or is a dataclass already.
        """

        def decorate(cls: T) -> T:
            taken = self._classes.get(name)
            if taken is not None and _path(taken) != _path(cls):
                raise ValueError(
                    f"the {self.kind} name {name!r} is taken by {taken.__qualname__} of "
                    f"{taken.__module__}"
                )
            self._check(cls)
            self._classes[name] = made = checked(cls)
            return made

        return decorate

    def names(self) -> list[str]:
        """Return all registered names, sorted."""
        self._load()
        return sorted(self._classes)

    def get(self, name: str) -> type[Any]:
        """Return the class registered under ``name``.

        Raises:
            UnknownNameError: the name is not registered; the message offers the nearest name.
        """
        self._load()
        try:
            return self._classes[name]
        except KeyError:
            hint = closest(name, self._classes)
            for plugin, problem in self._broken.items():
                hint += f" The plugin {plugin} could not be loaded: {problem}."
            raise UnknownNameError(f"unknown {self.kind} {name!r}: {hint}") from None

    def holds(self, thing: object) -> bool:
        """Return whether an object is an instance of a registered class."""
        return type(thing) in self._classes.values()

    def name_of(self, thing: object) -> str:
        """Return the registered name of an object's class."""
        for name, cls in self._classes.items():
            if cls is type(thing):
                return name
        raise UnknownNameError(f"{type(thing).__qualname__} is not a registered {self.kind}")

    def summary(self, name: str) -> str:
        """Return the first line of the docstring of the class registered under ``name``."""
        return (self.get(name).__doc__ or "").strip().split("\n")[0]

    def _check(self, cls: type[Any]) -> None:
        if self._base is not None and self._base not in map(_path, cls.__mro__):
            module, _, name = self._base.partition(":")
            raise TypeError(
                f"{cls.__qualname__} cannot be registered as {self.kind}: expected a subclass of "
                f"{module}.{name}"
            )
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(cls.__abstractmethods__))
            raise TypeError(
                f"{cls.__qualname__} cannot be registered as {self.kind}: it does not implement "
                f"{missing}"
            )

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True  # modules that are imported now may look up names
        try:
            import_all(self._builtin)
        except BaseException:
            self._loaded = False
            raise
        self._broken = load_entry_points(self._group)


def import_all(package: str) -> None:
    """Import a package and every module below it, but those that begin with an underscore."""
    root = importlib.import_module(package)
    for found in pkgutil.iter_modules(getattr(root, "__path__", ())):
        if not found.name.startswith("_"):
            import_all(f"{package}.{found.name}")


def _path(cls: type[Any]) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


ATTACKS: Registry = Registry(
    "attack", "fedsim.attacks", "fedsim.attacks", "fedsim.attacks.base:Attack"
)
COUNTERMEASURES: Registry = Registry(
    "countermeasure",
    "fedsim.attacks.adaptive",
    "fedsim.countermeasures",
    "fedsim.attacks.adaptive.base:Countermeasure",
)
DEFENSES: Registry = Registry(
    "defense",
    "fedsim.clients.defenses",
    "fedsim.defenses",
    "fedsim.clients.defenses.base:Defense",
)
MODELS: Registry = Registry("model", "fedsim.models", "fedsim.models", "fedsim.models.spec:Spec")
DATASETS: Registry = Registry(
    "data set", "fedsim.data", "fedsim.datasets", "fedsim.data.source:DatasetSource"
)
PARTITIONS: Registry = Registry(
    "partition",
    "fedsim.data.partitions",
    "fedsim.partitions",
    "fedsim.data.partitions.base:Partition",
)
AGGREGATIONS: Registry = Registry(
    "aggregation",
    "fedsim.scenario.aggregation",
    "fedsim.aggregations",
    "fedsim.scenario.aggregation:Aggregation",
)
OPTIMIZERS: Registry = Registry(
    "optimizer",
    "fedsim.scenario.optimizers",
    "fedsim.optimizers",
    "fedsim.scenario.optimizers:Optimizer",
)
MANIPULATIONS: Registry = Registry(
    "manipulation",
    "fedsim.server.malicious",
    "fedsim.manipulations",
    "fedsim.server.malicious.base:Manipulation",
)
LOSSES: Registry = Registry(
    "loss", "fedsim.models.losses", "fedsim.losses", "fedsim.models.losses.base:Loss"
)
SCHEDULES: Registry = Registry(
    "schedule",
    "fedsim.scenario.schedules",
    "fedsim.schedules",
    "fedsim.scenario.schedules:Schedule",
)
AUGMENTATIONS: Registry = Registry(
    "augmentation",
    "fedsim.data.augmentations",
    "fedsim.augmentations",
    "fedsim.data.augmentations:Augmentation",
)
METRICS: Registry = Registry(
    "metric", "fedsim.scoring.metrics", "fedsim.metrics", "fedsim.scoring.metrics.base:Metric"
)

REGISTRIES = {
    "attacks": ATTACKS,
    "defenses": DEFENSES,
    "models": MODELS,
    "datasets": DATASETS,
    "partitions": PARTITIONS,
    "countermeasures": COUNTERMEASURES,
    "aggregations": AGGREGATIONS,
    "optimizers": OPTIMIZERS,
    "losses": LOSSES,
    "augmentations": AUGMENTATIONS,
    "schedules": SCHEDULES,
    "metrics": METRICS,
    "manipulations": MANIPULATIONS,
}
