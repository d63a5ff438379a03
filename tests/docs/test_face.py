"""The first screen: true badges, a small animation, a report to open; the container, the site."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pypdfium2 as pdfium
import pytest
import typer
from PIL import Image
from playwright.sync_api import sync_playwright
from typer.main import get_command

from fedsim.cli.main import app
from fedsim.lessons.notebook import notebook
from fedsim.scenario import load_scenario

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PICTURES = ROOT / "docs" / "pictures"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def badge(name: str) -> str:
    return (PICTURES / f"badge-{name}.svg").read_text("utf-8")


def test_badges_are_true() -> None:
    assert f">{PROJECT['license']}<" in badge("licence")
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert ">3.11 to 3.13<" in badge("python")
    assert "flwr[simulation]>=1.41,<1.43" in PROJECT["dependencies"]
    assert ">1.41 to 1.42<" in badge("flower")
    assert "Development Status :: 3 - Alpha" in PROJECT["classifiers"]
    assert f">alpha, {PROJECT['version']}<" in badge("status")


def test_the_animation_is_small() -> None:
    path = PICTURES / "emerging.gif"
    assert path.stat().st_size < 2_000_000
    with Image.open(path) as film:
        assert film.is_animated
        assert film.width <= 800


def test_the_sample_report_is_small_and_needs_no_server() -> None:
    path = ROOT / "docs" / "sample-report.html"
    assert path.stat().st_size < 1_500_000
    html = path.read_text("utf-8")
    assert "private pictures leaked" in html
    assert '<script src="' not in html
    assert '<link rel="stylesheet"' not in html


def test_the_first_screen_comes_first() -> None:
    """One sentence, the animation, two commands, the sample, and its limits, before any section."""
    first = README.split("\n## ")[0]
    for part in (
        "emerging.gif",
        "uv run fedsim run",
        "fedsim leak photo.jpg",
        "sample-report.html",
    ):
        assert part in first
    assert "What it is not" in first
    assert len(first.splitlines()) < 45


def test_the_container_gets_what_the_package_is_built_from() -> None:
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").split() if line[0] == "!"
    }
    tops = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert let_through <= tops
    assert {"fedsim", "attacks", "clients", "server", "scenarios", "pyproject.toml"} <= let_through
    assert PROJECT["readme"] in let_through


@pytest.mark.slow
@pytest.mark.skipif(find_spec("zensical") is None, reason="needs: uv sync --group site")
def test_the_site_is_built_without_a_warning() -> None:
    script = ROOT / "docs" / "build_site.py"
    built = subprocess.run(
        [sys.executable, str(script)], check=False, capture_output=True, text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    site = ROOT / "build" / "site"
    assert "curious server" in (site / "index.html").read_text("utf-8")
    assert (site / "docs" / "verdicts.html").is_file()
    assert (site / "docs" / "sample-report.html").is_file()


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_the_handout_prints_on_one_page(tmp_path: Path) -> None:
    printed = tmp_path / "handout.pdf"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.goto((ROOT / "docs" / "handout.html").as_uri())
        for paper in ("A4", "Letter"):
            page.pdf(path=printed, format=paper, prefer_css_page_size=False)
            assert len(pdfium.PdfDocument(printed)) == 1
        browser.close()


def test_executed_notebooks_are_those_of_the_lessons() -> None:
    """Small, executed from the first cell to the last without an error, and not out of date."""
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        assert path.stat().st_size < 500_000, path.name
        executed = json.loads(path.read_text("utf-8"))["cells"]
        written = notebook(int(path.stem.removeprefix("lesson-")))["cells"]
        assert ["".join(cell["source"]) for cell in executed] == [c["source"] for c in written]
        outputs = [out for cell in executed for out in cell.get("outputs", [])]
        assert not any(out["output_type"] == "error" for out in outputs), path.name
        assert all(c["execution_count"] for c in executed if c["cell_type"] == "code"), path.name


def asked_elsewhere() -> list[str]:
    """Return the commands of fedsim's on the page of questions asked elsewhere."""
    page = (ROOT / "docs" / "threads.md").read_text("utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).splitlines()
    return [line.removeprefix("uv run ") for line in lines if line.startswith("uv run fedsim ")]


@pytest.mark.parametrize("command", asked_elsewhere())
def test_commands_on_the_page_of_questions_are_right(command: str) -> None:
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    name, *words = shlex.split(command)[1:]
    found = group.get_command(typer.Context(group), name)
    assert found is not None
    context = found.make_context(name, words)
    if name == "run":
        assert load_scenario(context.params["scenario"], context.params["overrides"])
