"""The package as a whole: what it exports, what it loads, and that its example is right."""

import doctest
import subprocess
import sys
from types import ModuleType

import pytest

import fedsim.attacks
import fedsim.attacks.adaptive


def test_exported_names() -> None:
    assert sorted(fedsim.attacks.__all__) == [
        "Attack",
        "BagOfTokens",
        "BestOf",
        "ClosedForm",
        "CosineDistance",
        "DLG",
        "Dager",
        "DenseInversion",
        "GradInversion",
        "GradientMatching",
        "IDLG",
        "InvertingGradients",
        "L2",
        "Lamp",
        "LocalTraining",
        "Objective",
        "Observation",
        "Prior",
        "Progress",
        "RGAP",
        "Reconstruction",
        "SPEAR",
        "Snapshot",
        "SquaredDistance",
        "Status",
        "SurvivingDistance",
        "Tag",
        "TotalVariation",
        "infer_labels",
    ]
    assert sorted(fedsim.attacks.adaptive.__all__) == [
        "AllowForBfloat16",
        "AllowForFp16",
        "AllowForInt8",
        "ClipLayersToo",
        "ClipToo",
        "Countermeasure",
        "ExpectClippedExamples",
        "ExpectClippingAndNoise",
        "ExpectGaussianNoise",
        "ExpectLaplacianNoise",
        "ExpectQSGD",
        "ExpectStochasticQuantisation",
        "LeaveOutBottleneck",
        "LeaveOutLastWeight",
        "MatchSample",
        "MatchSent",
        "MatchSharedLayers",
        "MatchSigns",
        "MatchSurvivors",
    ]


@pytest.mark.parametrize("package", [fedsim.attacks, fedsim.attacks.adaptive], ids=str)
def test_exported_names_exist(package: ModuleType) -> None:
    assert all(hasattr(package, name) for name in package.__all__)


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
