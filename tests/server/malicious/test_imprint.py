"""An imprint layer sorts a batch into bins, of which each with one picture is exact."""

import pytest
import torch

from fedsim.attacks import Status
from fedsim.attacks.closed.bins import DenseBins
from fedsim.core.errors import DataError
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec, ResNet18
from fedsim.models.blocks import Imprinted, with_block
from fedsim.server.federation import accuracy
from fedsim.server.malicious import Changed, Imprint, Public
from fedsim.server.malicious.imprint import alone_in_theory, brightness_limits
from tests.server.malicious.batches import changed, clothes, observed, private, recovered

SHAPE = (1, 28, 28)


def alone(sent: Changed, batch_size: int) -> torch.Tensor:
    """Return whether a private picture is alone in its bin."""
    limits = -sent.model.get_parameter("imprint.bias").detach().double()
    bins = torch.bucketize(private(batch_size)[0].flatten(1).double().mean(1), limits)
    return torch.bincount(bins)[bins] == 1


@pytest.mark.parametrize(("batch_size", "bins"), [(64, 64), (64, 512), (256, 1024)])
def test_pictures_alone_in_their_bin_are_exact(batch_size: int, bins: int) -> None:
    sent = changed(Imprint(bins=bins), LeNet().build(SHAPE, 10, seed=0), batch_size)
    scores, single = (
        recovered(DenseBins(), sent.model, private(batch_size)),
        alone(sent, batch_size),
    )
    assert float(scores[single].mean()) > 60
    assert float((scores[single] > 40).double().mean()) > 0.98
    # Public quantiles, from 500 pictures, fit the private ones roughly.
    share = float(single.double().mean())
    assert sent.expected == alone_in_theory(batch_size, bins)
    assert sent.expected - 0.2 < share < sent.expected + 0.05


def test_theory() -> None:
    assert alone_in_theory(64, 64) == pytest.approx(0.37, abs=0.01)
    assert alone_in_theory(1, 8) == 1


def test_the_model_behind_it_goes_on_working() -> None:
    model, test = MLP(hidden=()).build(SHAPE, 10, seed=0), clothes().test
    pictures, labels = clothes().train.batch(torch.arange(2000).numpy())
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(30):
        steps.zero_grad()
        torch.nn.functional.cross_entropy(model(pictures), labels).backward()
        steps.step()
    sent = changed(Imprint(), model, 64)
    assert accuracy(sent.model, test) > accuracy(model, test) - 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "side"), [(ConvNet(), 32), (LeNet(), 224)], ids=str)
def test_batch_of_64_in_colour(spec: ConvNet | LeNet, side: int) -> None:
    check_batch_of_64_in_colour(spec, side)


@pytest.mark.paper
def test_batch_of_64_in_front_of_a_residual_network() -> None:
    check_batch_of_64_in_colour(ResNet18(batch_norm="eval", small_images=False), 224)


def check_batch_of_64_in_colour(spec: ModelSpec, side: int) -> None:
    """Pictures whose limits come from others of the same kind; ImageNet's have 224 pixels."""
    model = spec.build((3, side, side), 10, seed=0)
    generator = torch.Generator().manual_seed(0)
    levels = torch.rand(128, 1, 1, 1, generator=generator)
    pictures = levels * torch.rand(128, 3, side, side, generator=generator)
    sent = Imprint(bins=256).change(model, Public(pictures[64:], 64), generator)
    batch = pictures[:64], torch.arange(64) % 10
    scores = recovered(DenseBins(), sent.model, batch)
    found = scores > 40
    assert float(found.double().mean()) > 0.3
    assert float(scores[found].mean()) > 60


def test_limits_have_equal_public_mass() -> None:
    pictures = torch.linspace(0, 1, 100).view(100, 1, 1, 1)
    limits = brightness_limits(pictures, 4)
    assert limits[0] < 0
    assert limits[1:].tolist() == pytest.approx([0.25, 0.5, 0.75], abs=0.01)


def test_layers_of_other_rows_are_refused() -> None:
    model = MLP(hidden=(8,), activation="relu").build(SHAPE, 10, seed=0)
    [found] = DenseBins().run(model, [observed(model, private(2))])
    assert found.status is Status.FAILED
    assert "first dense layer has no equal rows" in str(found.error)


def test_a_client_builds_only_known_blocks() -> None:
    model = LeNet().build(SHAPE, 10, seed=0)
    sent = changed(Imprint(bins=8), model, 4).model.state_dict()
    assert isinstance(with_block(model, "imprint", sent), Imprinted)
    with pytest.raises(DataError, match="named the block 'os'"):
        with_block(model, "os", sent)
    with pytest.raises(DataError, match=r"tensors of the block 'imprint' are missing"):
        with_block(model, "imprint", {})
