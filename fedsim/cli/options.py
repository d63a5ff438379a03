"""Options shared by several commands, and one-line warnings."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fedsim.core.environment import use_cluster
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
    """Things with a JSON schema: files, and results of commands."""

    SCENARIO = "scenario"
    COMPARISON = "comparison"
    RUN = "run"
    LEAK = "leak"
    AUDIT = "audit"
    COMPARE = "compare"
    EXPLAIN = "explain"
    LIST = "list"
    DRY_RUN = "dry-run"


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


def _use_cluster(address: str | None) -> str | None:
    if address is not None:
        use_cluster(address)
    return address


RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        callback=_use_cluster,
        help="Ray cluster to use instead of this machine; fedsim must be installed on its nodes.",
    ),
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


def _use(name: str | None) -> str | None:
    if name is not None:
        from fedsim.core.precision import use_device  # noqa: PLC0415  (loads torch)

        use_device(name)
    return name


OnDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        callback=_use,
        help=r"Device of the attacks, such as cpu or cuda:1.  \[default: a GPU if there is one]",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Only check the plan, and estimate its time by rehearsing the beginning of a round.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print the folder and errors alone, without the results."),
]


def _log_to_terminal(count: int) -> int:
    if count:
        level = logging.INFO if count == 1 else logging.DEBUG
        logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    return count


Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        callback=_log_to_terminal,
        help="Also print the log messages of Flower, fedsim and libraries; -vv: all of them.",
    ),
]


@dataclass(frozen=True)
class Output:
    """Output of a command.

    Attributes:
        as_json: whether standard output gets the result as JSON and nothing else.
        quiet: whether the folder is printed instead of progress and results.
    """

    as_json: bool = False
    quiet: bool = False

    @property
    def console(self) -> Console:
        """The console for progress and results."""
        return Console(stderr=self.as_json, quiet=self.quiet)

    def folder(self, folder: Path) -> None:
        """Print the folder, if it is all that is printed."""
        if self.quiet and not self.as_json:
            sys.stdout.write(f"{folder}\n")


def told_in_one_line(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Return a ``showwarning`` function that prints fedsim's warnings on one line."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, FedsimWarning):
            line = f"warning: {message}"
            Console(stderr=True).print(line, style="yellow", markup=False, soft_wrap=True)
        else:
            otherwise(message, category, *place, **more)

    return show
