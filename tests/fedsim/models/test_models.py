"""What holds for one model in particular."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torchvision.models import resnet18

from fedsim.core.errors import DataError
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec, Precode, ResNet18, draw_from
from fedsim.models.precode import VariationalBottleneck

pytestmark = pytest.mark.numeric


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


@pytest.mark.parametrize("width", [10**12, 10**18])
def test_a_model_that_does_not_fit_into_memory_is_an_error(width: int) -> None:
    with pytest.raises(DataError, match="choose a smaller model"):
        MLP(hidden=(width,)).build((1, 28, 28), 10, seed=0)


def test_lenet_is_the_papers_network() -> None:
    model = LeNet().build((3, 32, 32), 100, seed=0)
    assert shapes(model) == {
        "conv1.weight": (12, 3, 5, 5), "conv1.bias": (12,),
        "conv2.weight": (12, 12, 5, 5), "conv2.bias": (12,),
        "conv3.weight": (12, 12, 5, 5), "conv3.bias": (12,),
        "head.weight": (100, 768), "head.bias": (100,),
    }  # fmt: skip
    convolutions = [layer for layer in model if isinstance(layer, nn.Conv2d)]
    assert [layer.stride for layer in convolutions] == [(2, 2), (2, 2), (1, 1)]
    assert {layer.padding for layer in convolutions} == {(2, 2)}
    assert sum(isinstance(layer, nn.Sigmoid) for layer in model) == 3


@pytest.mark.parametrize("bound", [0.5, 0.1])
def test_lenet_draws_weights_and_biases_from_its_range(bound: float) -> None:
    model = LeNet(init_range=bound).build((3, 32, 32), 100, seed=0)
    values = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert values.abs().max() <= bound
    assert values.std() == pytest.approx(2 * bound / math.sqrt(12), rel=0.01)
    biases = torch.cat(
        [p.detach() for name, p in model.named_parameters() if name.endswith("bias")]
    )
    assert biases.abs().max() > 0.9 * bound


def test_lenet_fits_any_size() -> None:
    assert shapes(LeNet().build((3, 17, 23), 5, 0))["head.weight"] == (5, 12 * 5 * 6)
    assert shapes(LeNet(channels=4).build((1, 28, 28), 5, 0))["head.weight"] == (5, 4 * 7 * 7)


def test_mlp_takes_a_list_as_toml_has_it() -> None:
    spec = MLP(hidden=[8, 4], activation="relu")  # type: ignore[arg-type]
    assert spec == MLP(hidden=(8, 4), activation="relu")
    model = spec.build((1, 2, 3), 5, 0)
    assert [p.shape[0] for p in model.parameters() if p.ndim == 2] == [8, 4, 5]


@pytest.mark.parametrize("wrong", [{"hidden": (0,)}, {"hidden": (1.5,)}, {"activation": "sine"}])
def test_wrong_parameters(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MLP(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", [MLP(), ConvNet()], ids=str)
def test_layers_start_as_pytorchs_do(spec: ModelSpec) -> None:
    model = spec.build((1, 28, 28), 10, seed=0)
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            assert layer.weight.abs().max() <= bound
            assert layer.weight.detach().std() == pytest.approx(bound / math.sqrt(3), rel=0.15)
            assert layer.bias is not None
            assert layer.bias.abs().max() <= bound


def test_convnet_learns() -> None:
    model = ConvNet(channels=(8, 16)).build((1, 8, 8), 2, seed=0)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(64, 1, 8, 8, generator=generator)
    labels = (images[:, 0, :, :4].mean((1, 2)) > images[:, 0, :, 4:].mean((1, 2))).long()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
    assert (model(images).argmax(1) == labels).float().mean() > 0.95


def test_resnet_has_torchvisions_layers() -> None:
    ours = shapes(ResNet18(small_images=False).build((3, 64, 64), 1000, 0))
    assert ours == shapes(resnet18())
    small = shapes(ResNet18().build((1, 28, 28), 10, 0))
    changed = {name for name in ours if ours[name] != small[name]}
    assert changed == {"conv1.weight", "fc.weight", "fc.bias"}
    assert small["conv1.weight"] == (64, 1, 3, 3)


def test_resnet_starts_as_torchvisions_does() -> None:
    ours, theirs = ResNet18(small_images=False).build((3, 64, 64), 1000, 0), resnet18()
    expected = theirs.state_dict()
    for name, value in ours.state_dict().items():
        if value.numel() > 4096:
            torch.testing.assert_close(value.std(), expected[name].std(), rtol=0.1, atol=0)
        elif "bn" in name:
            assert torch.equal(value, expected[name])


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_batch_norm_mode_outlives_the_models_mode(mode: str) -> None:
    model = ResNet18(batch_norm=mode).build((1, 8, 8), 2, 0)  # type: ignore[arg-type]
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.eval()
    model.train()
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {layer.training for layer in norms} == {mode == "train"}
    model(torch.ones(2, 1, 8, 8))
    unchanged = all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert unchanged == (mode == "eval")


def test_precode_is_another_model_with_a_bottleneck() -> None:
    inner = shapes(LeNet().build((1, 28, 28), 10, seed=0))
    model = Precode(bottleneck=16).build((1, 28, 28), 10, seed=0)
    assert shapes(model) == inner | {
        "bottleneck.encoder.weight": (32, 588), "bottleneck.encoder.bias": (32,),
        "bottleneck.decoder.weight": (588, 16), "bottleneck.decoder.bias": (588,),
    }  # fmt: skip
    assert [name for name, _ in model.named_children()][-2:] == ["bottleneck", "head"]
    for name, parameter in model.named_parameters():
        bound = {"encoder": 588**-0.5, "decoder": 0.25}.get(name.split(".")[1], 0.5)
        assert 0.9 * bound < parameter.abs().max() <= bound or parameter.numel() < 40


def test_a_bottleneck_draws_from_its_own_generator() -> None:
    model = Precode(base="mlp", bottleneck=16).build((1, 4, 4), 3, seed=0)
    images = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    mean = model(images)
    assert torch.equal(model(images), mean)

    def drawn(seed: int) -> list[torch.Tensor]:
        draw_from(model, torch.Generator().manual_seed(seed))
        return [model(images), model(images)]

    first, second = drawn(1)
    assert not torch.equal(first, second)
    assert not torch.equal(first, mean)
    assert all(torch.equal(a, b) for a, b in zip(drawn(1), (first, second), strict=True))
    assert not torch.equal(drawn(2)[0], first)
    assert torch.equal(model.eval()(images), mean)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_bottlenecks_mean_is_that_of_its_draws() -> None:
    layer = VariationalBottleneck(3, 2)
    x = torch.ones(20_000, 3)
    mean = layer(x)[0]
    layer.generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(layer(x).mean(0), mean, rtol=0, atol=0.05)
    spread = (layer.encoder(x[0])[2:] / 2).exp()
    expected = (layer.decoder.weight * spread).norm(dim=1)
    torch.testing.assert_close(layer(x).std(0), expected, rtol=0.03, atol=0)


def test_an_unknown_layer_is_not_left_undefined() -> None:
    class Embedding(ModelSpec):
        def architecture(self, *_: object) -> nn.Module:
            return nn.Embedding(3, 4)

    with pytest.raises(NotImplementedError, match="override 'initialise'"):
        Embedding().build((1, 2, 2), 2, 0)
