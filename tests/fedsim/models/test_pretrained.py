"""Models that people have: torchvision's by name, and weights from files and packages."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import mobilenet_v2, resnet18

from fedsim.core.errors import DataError
from fedsim.models import EfficientNetLite0, Torchvision
from fedsim.models.lite0 import weights_file
from fedsim.scoring.metrics import lite0

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the weights of a network of 7 classes."""
    path = tmp_path_factory.mktemp("weights") / "net.pth"
    torch.manual_seed(5)
    torch.save(mobilenet_v2(num_classes=7).state_dict(), path)
    return path


def test_weights_of_a_file_with_a_new_last_layer(saved: Path) -> None:
    spec = Torchvision(arch="mobilenet_v2", weights=str(saved), batch_norm="eval")
    model = spec.build((3, 32, 32), 3, seed=0)
    theirs = torch.load(saved, weights_only=True)
    ours = model.get_submodule("net").state_dict()
    assert ours.keys() == theirs.keys()
    different = {
        n for n, t in ours.items() if t.shape != theirs[n].shape or not torch.equal(t, theirs[n])
    }
    assert different == {"classifier.1.weight", "classifier.1.bias"}
    assert all(not m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert all(m.p == 0 for m in model.modules() if isinstance(m, nn.Dropout))


def test_safetensors_give_the_same(saved: Path, tmp_path: Path) -> None:
    state = torch.load(saved, weights_only=True)
    save_file(state, tmp_path / "net.safetensors")
    paths = (saved, tmp_path / "net.safetensors")
    specs = [Torchvision(arch="mobilenet_v2", weights=str(p)) for p in paths]
    one, other = (s.build((3, 32, 32), 7, seed=0).state_dict() for s in specs)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_of_another_network_and_no_weights(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the weights of another network"):
        Torchvision(arch="squeezenet1_1", weights=str(saved)).build((3, 64, 64), 7, seed=0)
    missing = Torchvision(arch="squeezenet1_1", weights=str(tmp_path / "none.pth"))
    with pytest.raises(DataError, match="the weights cannot be read"):
        missing.build((3, 64, 64), 7, seed=0)
    code = tmp_path / "code.pth"
    torch.save(nn.Linear(1, 1), code)  # a pickled module, which loading would execute
    with pytest.raises(DataError, match="expected a state dict"):
        Torchvision(arch="squeezenet1_1", weights=str(code)).build((3, 64, 64), 7, seed=0)


def test_names_and_pictures_that_torchvision_does_not_have() -> None:
    with pytest.raises(DataError, match="resnet18"):
        Torchvision(arch="resnet19").build((3, 32, 32), 3, seed=0)
    with pytest.raises(DataError, match="1 or 3 channels"):
        Torchvision().build((2, 32, 32), 3, seed=0)


def test_the_model_normalises_and_resizes_itself() -> None:
    spec = Torchvision(arch="resnet18", batch_norm="eval", side=48)
    model = spec.build((1, 24, 24), 3, seed=0).eval()
    plain = resnet18(num_classes=3).eval()
    plain.load_state_dict(model.get_submodule("net").state_dict())
    picture = torch.rand(1, 1, 24, 24)
    grown = nn.functional.interpolate(picture.expand(-1, 3, -1, -1), (48, 48), mode="bilinear")
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    torch.testing.assert_close(model(picture), plain((grown - mean) / std))
    assert {name.split(".")[0] for name in model.state_dict()} == {"net"}


@pytest.mark.skipif(weights_file() is None, reason="the package of the weights is not installed")
def test_a_pretrained_network_from_a_package() -> None:
    """Its early features are those that the perceptual distance uses."""
    spec = EfficientNetLite0(pretrained=True, batch_norm="eval", side=lite0.SIDE)
    model = spec.build((3, 64, 64), 10, seed=0)
    picture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    block = model.get_submodule(f"1._blocks.{lite0.FEATURES[-1]}")
    block.register_forward_hook(lambda _m, _i, out: seen.append(out))
    assert model(picture[None]).shape == (1, 10)
    ours = nn.functional.normalize(seen[0][0].flatten(1), dim=0, eps=1e-8)
    torch.testing.assert_close(ours, [*lite0.features(picture)][-1], rtol=1e-3, atol=1e-4)
    thousand = spec.build((3, 64, 64), 1000, seed=0)
    path = weights_file()
    assert path is not None
    theirs = torch.load(path, weights_only=True)
    assert torch.equal(thousand.state_dict()["1._fc.weight"], theirs["_fc.weight"])
