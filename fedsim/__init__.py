"""fedsim: a federated-learning simulator with the gradient-inversion adversary inside.

>>> import fedsim
>>> run = fedsim.run("quickstart", federation={"rounds": 1})  # doctest: +SKIP
>>> run.table()  # doctest: +SKIP

Importing this package is cheap: torch and Flower are loaded by what needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fedsim.environment import prepare

if TYPE_CHECKING:
    from fedsim.api import (
        Compared,
        Figure,
        Figures,
        Run,
        Table,
        compare,
        open_comparison,
        open_run,
        run,
    )
    from fedsim.lessons import lesson

__version__ = "0.1.0"

__all__ = [
    "Compared",
    "Figure",
    "Figures",
    "Run",
    "Table",
    "compare",
    "lesson",
    "open_comparison",
    "open_run",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fedsim' has no attribute {name!r}")
    prepare()  # before anything loads torch
    return getattr(import_module("fedsim.lessons" if name == "lesson" else "fedsim.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
