"""The package as a whole: what it exports, what it loads, and that its example is right."""

import doctest
import subprocess
import sys
from types import ModuleType

import pytest

import fedsim.attacks
import fedsim.attacks.adaptive

PACKAGES = pytest.mark.parametrize("package", [fedsim.attacks, fedsim.attacks.adaptive], ids=str)


@PACKAGES
def test_all_that_is_public_is_exported(package: ModuleType) -> None:
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(public) == sorted(package.__all__)


@pytest.mark.parametrize("package", ["fedsim.attacks", "fedsim.attacks.adaptive"])
def test_loads_neither_flower_nor_the_honest_side(package: str) -> None:
    code = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert not loaded & {"flwr", "ray", "fedsim.clients", "fedsim.server", "torchvision", "scipy"}


def test_docstring_example() -> None:
    tried = doctest.testmod(fedsim.attacks)
    assert tried.attempted > 0
    assert tried.failed == 0
