"""Options shared by several commands, and one-line warnings."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fedsim.core.errors import FedsimWarning
from fedsim.core.plugins import load_plugin


class EngineChoice(StrEnum):
    """Engine that runs the clients."""

    INLINE = "inline"
    RAY = "ray"


class Kind(StrEnum):
    """Kinds of entries that can be listed."""

    SCENARIOS = "scenarios"
    COMPARISONS = "comparisons"
    ATTACKS = "attacks"
    DEFENSES = "defenses"
    MODELS = "models"
    DATASETS = "datasets"
    PARTITIONS = "partitions"
    COUNTERMEASURES = "countermeasures"
    AGGREGATIONS = "aggregations"
    OPTIMIZERS = "optimizers"
    LOSSES = "losses"
    AUGMENTATIONS = "augmentations"
    SCHEDULES = "schedules"
    METRICS = "metrics"
    MANIPULATIONS = "manipulations"


class Described(StrEnum):
    """Things with a JSON schema: the file of a scenario, and results of commands."""

    SCENARIO = "scenario"
    RUN = "run"
    LEAK = "leak"
    AUDIT = "audit"
    COMPARE = "compare"
    EXPLAIN = "explain"
    LIST = "list"


Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one value of the scenario, as in --set federation.rounds=3 "
        "or --set clients.0.count=8. Can be given several times.",
    ),
]


def _load_plugins(paths: list[Path] | None) -> list[Path] | None:
    for path in paths or ():
        load_plugin(path)
    return paths


Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        callback=_load_plugins,
        help="A Python file that registers attacks, defenses, models, ... Can be given several "
        "times. Its code is executed: use only files that you trust.",
    ),
]
Engine = Annotated[
    EngineChoice, typer.Option(help="inline: in this process; ray: Flower's simulation on Ray.")
]
Out = Annotated[
    Path | None,
    typer.Option(help=r"The run folder, new or empty.  \[default: runs/<time>-<scenario>]"),
]


AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the result as JSON, and nothing else to standard output; "
        "fedsim schema describes it.",
    ),
]


def told_in_one_line(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Return a ``showwarning`` function that prints fedsim's warnings on one line."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, FedsimWarning):
            line = f"warning: {message}"
            Console(stderr=True).print(line, style="yellow", markup=False, soft_wrap=True)
        else:
            otherwise(message, category, *place, **more)

    return show
