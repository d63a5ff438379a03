"""fedsim: a federated-learning simulator with the gradient-inversion adversary inside.

>>> import fedsim
>>> run = fedsim.run("quickstart", federation={"rounds": 1})  # doctest: +SKIP
>>> run.table()  # doctest: +SKIP

Importing this package is cheap: torch and Flower are loaded only when they are needed.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# In the repository `attacks`, `clients`, `server` and `scenarios` lie beside this package and are
# parts of it by links. Where links are not kept (bundles of Flower, checkouts on Windows) they are
# found there.
if not (Path(__file__).parent / "attacks" / "__init__.py").is_file():
    __path__.append(str(Path(__file__).parents[1]))

from fedsim.core.environment import prepare
from fedsim.core.errors import (
    AttackError,
    DataError,
    FedsimError,
    FedsimWarning,
    PluginError,
    RunError,
    ScenarioError,
    UnknownNameError,
    UploadError,
)
from fedsim.core.plugins import load_plugin
from fedsim.core.version import __version__

if TYPE_CHECKING:
    from fedsim.api import (
        Climbed,
        Compared,
        Explanations,
        Figure,
        Figures,
        Run,
        Table,
        audit,
        audit_privacy,
        compare,
        ladder,
        open_comparison,
        open_run,
        resume,
        run,
    )
    from fedsim.clients.audit_mod import AuditMod
    from fedsim.lessons import lesson
    from fedsim.scenario import AdversaryPlan, ClientGroup, Data, Federation, Scenario
    from fedsim.scenario.comparison import Comparison
    from fedsim.scenario.grid import Entry

__all__ = [
    "AdversaryPlan",
    "AttackError",
    "AuditMod",
    "ClientGroup",
    "Climbed",
    "Compared",
    "Comparison",
    "Data",
    "DataError",
    "Entry",
    "Explanations",
    "Federation",
    "FedsimError",
    "FedsimWarning",
    "Figure",
    "Figures",
    "PluginError",
    "Run",
    "RunError",
    "Scenario",
    "ScenarioError",
    "Table",
    "UnknownNameError",
    "UploadError",
    "__version__",
    "audit",
    "audit_privacy",
    "compare",
    "ladder",
    "lesson",
    "load_plugin",
    "open_comparison",
    "open_run",
    "resume",
    "run",
]

_HOMES = {
    "fedsim.clients.audit_mod": {"AuditMod"},
    "fedsim.lessons": {"lesson"},
    "fedsim.scenario": {"AdversaryPlan", "ClientGroup", "Data", "Federation", "Scenario"},
    "fedsim.scenario.comparison": {"Comparison"},
    "fedsim.scenario.grid": {"Entry"},
}
"""Modules of lazily loaded names; all other names are in ``fedsim.api``."""

_PARTS = {"attacks", "clients", "data", "models", "server", "testing"}
"""Lazily loaded subpackages."""


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        prepare()  # before anything loads torch
        return import_module(f"fedsim.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'fedsim' has no attribute {name!r}")
    prepare()
    home = next((module for module, names in _HOMES.items() if name in names), "fedsim.api")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return list(__all__)
