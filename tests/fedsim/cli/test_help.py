"""Help on the screen is what is written in the source."""

import inspect
import re
from collections.abc import Iterator

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from fedsim.cli.main import app
from fedsim.cli.options import Described, Kind

GROUP = get_command(app)
assert isinstance(GROUP, typer.core.TyperGroup)
COMMANDS = sorted(GROUP.commands)


def on_screen(*words: str) -> str:
    """Return what a command prints, without frames and without breaks of lines."""
    result = CliRunner().invoke(app, [*words], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    return joined(re.sub("[│╭╮╰╯─]", " ", result.output))


def joined(text: str) -> str:
    return " ".join(text.split())


def written(name: str) -> Iterator[str]:
    """Yield each help text of a command, as its source has it."""
    command = app.registered_commands
    [found] = [c for c in command if c.callback and (c.name or c.callback.__name__) == name]
    assert found.callback is not None
    yield (inspect.getdoc(found.callback) or "").split("\n")[0]
    for parameter in inspect.signature(found.callback, eval_str=True).parameters.values():
        if parameter.annotation is typer.Context:
            continue
        [about, *_] = parameter.annotation.__metadata__
        assert about.help, f"{name}: {parameter.name} has no help"
        yield about.help.replace(r"\[", "[")


@pytest.mark.parametrize("name", COMMANDS)
def test_all_help_that_is_written_is_shown(name: str) -> None:
    shown = on_screen(name, "--help")
    for text in written(name):
        assert joined(text) in shown
    assert "\\" not in shown
    assert on_screen(name, "-h") == shown


def test_nothing_in_brackets_is_lost() -> None:
    shown = on_screen("leak", "-h")
    assert "fedsim-leakage[minilm]" in shown
    assert "[default: runs/<time>-<scenario>]" in shown


def test_kinds_are_listed_without_one() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == list(Kind)
    for choice in (*Kind, *Described):
        assert choice in on_screen("list", "-h") + on_screen("schema", "-h")


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in on_screen("--help")
