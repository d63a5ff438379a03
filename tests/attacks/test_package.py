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
@pytest.mark.slow
def test_loads_the_ground_floor_alone(package: str) -> None:
    code = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    others = {"flwr", "ray", "torchvision", "PIL", "scipy", "transformers"}
    assert not loaded & others
    rooms = {name.split(".")[1] for name in loaded if name.startswith("fedsim.")}
    assert rooms == {"attacks", "core"}


def test_docstring_example() -> None:
    tried = doctest.testmod(fedsim.attacks)
    assert tried.attempted > 0
    assert tried.failed == 0
