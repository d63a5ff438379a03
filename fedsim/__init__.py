"""fedsim: a federated-learning simulator with the gradient-inversion adversary inside.

>>> import fedsim
>>> run = fedsim.run("quickstart", federation={"rounds": 1})  # doctest: +SKIP
>>> run.table()  # doctest: +SKIP

Importing this package is cheap: torch and Flower are loaded by what needs them.
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
from fedsim.core.version import __version__ as __version__

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
