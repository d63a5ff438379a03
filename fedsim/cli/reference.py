"""Commands that tell what there is: entries, parameters, schemas, and files to begin with."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsim.cli.options import AsJson, Described, Kind, Plugins
from fedsim.core.errors import ScenarioError


def schema_file(kind: Described) -> str:
    """Return the name of the schema beside a new file, as the file's first line has it."""
    return f"fedsim.{kind.value}.schema.json"


def init(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")] = Path(
        "scenario.toml"
    ),
    comparison: Annotated[
        bool, typer.Option("--comparison", help="Write a comparison instead of a scenario.")
    ] = False,
    plugins: Plugins = None,
) -> None:
    """Write a commented scenario to begin with, and the schema that helps editors to check it."""
    from fedsim.cli.schemas import schema_of  # noqa: PLC0415

    kind = Described.COMPARISON if comparison else Described.SCENARIO
    schema = file.parent / schema_file(kind)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(start_of(kind))
        schema.write_text(schema_of(kind) + "\n", encoding="utf-8")
    except FileExistsError:
        raise ScenarioError(f"{file} exists: choose another name, or delete it") from None
    except (FileNotFoundError, NotADirectoryError):
        raise ScenarioError(f"{file}: its folder does not exist: create it first") from None
    console = Console()
    for said in (str(file), str(schema), f"to run it: fedsim {_COMMANDS[kind]} {file}"):
        console.print(said, markup=False, highlight=False, soft_wrap=True)


_COMMANDS = {Described.SCENARIO: "run", Described.COMPARISON: "compare"}


def start_of(kind: Described) -> str:
    """Return the text of a file to begin with: a scenario or a comparison."""
    return files("fedsim.cli").joinpath("templates", f"{kind}.toml").read_text("utf-8")


def list_(
    kind: Annotated[
        Kind | None,
        typer.Argument(
            metavar="[KIND]",
            help=f"One of {', '.join(Kind)}; if omitted, list these with their numbers of entries.",
        ),
    ] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List all entries of a kind, with a one-line summary of each."""
    from fedsim.cli.catalogue import entries  # noqa: PLC0415

    if kind is None:
        found = [(each.value, f"{len(list(entries(each.value)))} entries") for each in Kind]
    else:
        found = list(entries(kind.value))
    if as_json:
        from fedsim.show.as_json import EntriesResult, EntryResult  # noqa: PLC0415

        rows = [EntryResult(name=name, summary=summary) for name, summary in found]
        sys.stdout.write(EntriesResult(entries=rows).text())
        return
    for name, summary in found:
        Console().print(f"{name:20} {summary}", markup=False, highlight=False, soft_wrap=True)


def show(
    name: Annotated[str, typer.Argument(help="A scenario, attack, defense, model, ...")],
    plugins: Plugins = None,
) -> None:
    """Show one entry: a scenario's text, or the description and parameters of a class."""
    from fedsim.cli.catalogue import describe  # noqa: PLC0415

    Console().print(describe(name), markup=False, highlight=False, soft_wrap=True)


def schema(
    of: Annotated[
        Described,
        typer.Argument(
            metavar="[OF]",
            help=f"One of {', '.join(Described)}: the file of a scenario or a comparison, or what "
            "a command prints with --json.",
        ),
    ] = Described.SCENARIO,
    plugins: Plugins = None,
) -> None:
    """Print a JSON schema, for editors and for programs that read results.

    A TOML file whose first line is '#:schema ./fedsim.scenario.schema.json' is checked by editors
    that know TOML, against a schema in that file: fedsim schema > fedsim.scenario.schema.json;
    fedsim init writes both.
    """
    from fedsim.cli.schemas import schema_of  # noqa: PLC0415

    sys.stdout.write(schema_of(of) + "\n")
