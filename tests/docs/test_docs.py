"""Links of README and docs lead somewhere, and their commands and examples run."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.main import get_command

from fedsim.cli.main import app
from fedsim.scenario import bundled
from fedsim.scenario.comparison import comparisons
from tests.fedsim.engine.audit.quickstart import write

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/README.md"), *(ROOT / "docs").rglob("*.md")})
PLACEHOLDERS = {"RUN": "runs/my-run", "N": "1", "FILE": "page.md", "FOLDER": "runs"}
"""What stands for something of the reader's."""

LONG = {"compare-paper", "compare-all", "compression", "dp-ladder"}
"""Comparisons of a quarter of an hour and more: they run by themselves, and are timed."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name)


def fenced(page: Path, language: str) -> Iterator[str]:
    blocks = re.finditer(
        r"^```([^\n]*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return (body for info, body in (m.groups() for m in blocks) if info.strip() == language)


def commands() -> list[str]:
    """Return every command line of fedsim's in a block of commands."""
    lines = (line for page in PAGES for block in fenced(page, "") for line in block.splitlines())
    plain = (line.split("  #")[0].strip().removeprefix("uv run ") for line in lines)
    found = (line.split("&& ")[-1].removeprefix("uv run ") for line in plain)
    return list(dict.fromkeys(line for line in found if re.match(r"fedsim( |$)", line)))


def arguments(command: str) -> list[str]:
    return [PLACEHOLDERS.get(word, word) for word in shlex.split(command)[1:]]


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{name(page)} links to {target}"
        assert place.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(place), f"{name(page)} links to {target}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_every_page_is_linked() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+\.md[^)\s]*)\)", page.read_text("utf-8"))
    }
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.resolve() in linked | {ROOT / "docs" / "README.md"}, name(page)


@pytest.mark.parametrize("command", commands())
def test_commands_are_right(command: str) -> None:
    """Whatever a command names is there; nothing is run."""
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    words = arguments(command)
    if not words:
        return
    found = group.get_command(typer.Context(group), words[0])
    assert found is not None, command
    context = found.make_context(words[0], words[1:], resilient_parsing=False)
    known = {"run": (bundled(), "scenario"), "compare": (comparisons(), "comparison")}
    if words[0] in known:
        names, parameter = known[words[0]]
        given = context.params[parameter]
        assert given in names or given == "my-scenario.toml", command


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what a reader is taken to have."""
    folder = tmp_path_factory.mktemp("desk")
    gradient = np.linspace(0, 255, 64 * 64, dtype=np.uint8).reshape(64, 64)
    Image.fromarray(gradient).convert("RGB").save(folder / "photo.jpg")
    shutil.copy(ROOT / "scenarios" / "quickstart.toml", folder / "my-scenario.toml")
    write(folder / "my-app", package="")
    fedsim(["run", "--set", "adversary.attack.evaluations=20", "--out", "runs/my-run"], folder)
    return folder


def fedsim(words: list[str], folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from fedsim.cli.main import main; main()", *words],
        cwd=folder, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ran.returncode == 0, f"fedsim {shlex.join(words)}\n{ran.stdout}\n{ran.stderr}"


@pytest.mark.docs
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", [c for c in commands() if not LONG & set(c.split())])
def test_commands_run(command: str, desk: Path) -> None:
    words = [w for w in arguments(command) if w != "--open"]  # no browser is to be opened
    fedsim(words, desk)


@pytest.mark.docs
@pytest.mark.timeout(600)
@every_page
def test_examples_run(page: Path, tmp_path: Path) -> None:
    if page.parent.name == "attacks":  # these have tests of their own, which look closer
        pytest.skip("tests/attacks/test_readme.py")
    for block in fenced(page, "python"):
        ran = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, check=False, capture_output=True, text=True
        )
        assert ran.returncode == 0, f"{name(page)}\n{block}\n{ran.stderr}"
