"""The page on audits: its diffs fit Flower's quickstart, and its commands are right."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from fedsim.cli.main import app
from fedsim.log.run import Run
from tests.fedsim.engine.audit.quickstart import CLIENT, SERVER, write

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ON_SERVER, ON_CLIENTS = (body for language, body in BLOCKS if language == "diff")
COMMANDS = [
    line.removeprefix("uv run ")
    for language, body in BLOCKS
    if language == "sh"
    for line in body.replace("\\\n", " ").splitlines()
    if line.removeprefix("uv run ").startswith("fedsim ")
]
TRUTH = "/tmp/truth"  # noqa: S108  (on the page)
LESS = {"truth=": "evaluations=1, clients=1, truth=", "batch_size=32": "batch_size=3"}
"""Less effort than on the page, so that the test is short; clients with less than a batch."""

TRAIN = """
import random, sys, torch
sys.path.insert(0, ".")
from flwr.app import Context, RecordDict
from fedsim.engine.inline import InlineGrid
from pytorchexample import client_app, server_app

config = {"num-server-rounds": 1, "fraction-evaluate": 0.0, "local-epochs": 1}
config |= {"learning-rate": 0.1, "batch-size": 3}
torch.manual_seed(3)
random.seed(3)
server_app.app(InlineGrid(client_app.app, 2, config), Context(1, 0, {}, RecordDict(), config))
"""


def patched(text: str, diff: str) -> str:
    """Return a file after a diff, each of whose hunks must fit it in exactly one position."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] != "+")
        assert text.count(old) == 1, hunk
        text = text.replace(old, "".join(line[1:] for line in lines if line[0] != "-"))
    return text


def test_five_lines_are_added() -> None:
    assert len([line for line in ON_SERVER.splitlines() if line[0] == "+"]) <= 5
    assert "fedsim.audit(" in patched(SERVER, ON_SERVER)
    assert "AuditMod" in patched(CLIENT, ON_CLIENTS)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_right(command: str) -> None:
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    words = shlex.split(command)[1:]
    found = group.get_command(typer.Context(group), words[0])
    assert found is not None
    found.make_context(words[0], words[1:])


@pytest.mark.slow
def test_the_diffs_change_no_training(tmp_path: Path) -> None:
    for audited in (False, True):
        folder = write(tmp_path / f"audited-{audited}", most=2)
        package = folder / "pytorchexample"
        if audited:
            truth = str(tmp_path / "truth")
            server, client = patched(SERVER, ON_SERVER), patched(CLIENT, ON_CLIENTS)
            server = server.replace(TRUTH, truth)
            for long, short in LESS.items():
                assert long in server
                server = server.replace(long, short)
            (package / "server_app.py").write_text(server)
            (package / "client_app.py").write_text(client.replace(TRUTH, truth))
        subprocess.run([sys.executable, "-c", TRAIN], cwd=folder, check=True, timeout=200)
    plain, same = (
        (tmp_path / f"audited-{audited}" / "final_model.pt").read_bytes()
        for audited in (False, True)
    )
    assert plain == same
    [run] = (tmp_path / "audited-True" / "runs").iterdir()
    summary = Run.read(run).summary
    assert summary.control is not None
    assert not summary.notes
    assert sum(summary.worst.values()) == 2
