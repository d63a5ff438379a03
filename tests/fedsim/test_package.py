"""The face of the package: its public names, found where a user looks for them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fedsim
from fedsim.core import errors


def imported_names() -> set[str]:
    """Return the names that the package imports, for type checkers or at once."""
    tree = ast.parse(Path(fedsim.__file__).read_text("utf-8"))
    modules = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    ours = [n for n in modules if (n.module or "").startswith("fedsim.")]
    return {alias.name for node in ours for alias in node.names} - {"prepare"}


def test_public_names_are_those_that_it_imports() -> None:
    assert set(fedsim.__all__) == imported_names()
    assert dir(fedsim) == sorted(fedsim.__all__)


@pytest.mark.parametrize("name", fedsim.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(fedsim, name).__doc__


def test_every_error_is_public() -> None:
    ours = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.FedsimError | Warning)
    }
    assert ours <= set(fedsim.__all__)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        fedsim.nonsense  # noqa: B018


@pytest.mark.parametrize("line", ["", "; fedsim.Scenario", "; fedsim.Run; fedsim.FedsimError"])
def test_importing_loads_neither_torch_nor_flower(line: str) -> None:
    code = f"import fedsim, sys{line}; sys.exit(bool({{'torch', 'flwr'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_subpackages_are_within_reach() -> None:
    code = "import fedsim; fedsim.attacks.DLG(evaluations=3); fedsim.models.MLP()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_is_a_command_and_typed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fedsim", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"fedsim {fedsim.__version__}\n"
    assert Path(fedsim.__file__).with_name("py.typed").is_file()


def test_the_citation_names_this_version() -> None:
    citation = (Path(fedsim.__file__).parents[1] / "CITATION.cff").read_text("utf-8")
    assert f"version: {fedsim.__version__}\n" in citation
