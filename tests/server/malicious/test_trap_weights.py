"""Trap weights let single examples of a batch through."""

import copy

import pytest
import torch
from torch import nn

from fedsim.attacks.closed.rows import DenseRows
from fedsim.core.errors import RunError
from fedsim.core.registry import MANIPULATIONS
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec
from fedsim.server.malicious import TrapWeights
from fedsim.server.malicious.trap_weights import trap_rows
from tests.server.malicious.batches import changed, private, recovered

SHAPE, BATCH = (1, 28, 28), 32


def test_a_fifth_of_a_batch_comes_out_exactly() -> None:
    model = MLP(hidden=(256,), activation="relu").build(SHAPE, 10, seed=0)
    sent = changed(TrapWeights(), copy.deepcopy(model), BATCH)
    shares = []
    for client in range(4):
        scores = recovered(DenseRows(), sent.model, private(BATCH, first=BATCH * client))
        shares.append(float((scores > 40).double().mean()))
    assert min(shares) >= 0.2
    assert sum(shares) / len(shares) == pytest.approx(sent.expected, abs=0.15)
    # The honest weights tell less.
    honest = recovered(DenseRows(), model, private(BATCH))
    assert float((honest > 40).double().mean()) < min(shares)


@pytest.mark.parametrize(
    "channels", [(8, 16), pytest.param((32, 64, 128), marks=pytest.mark.slow)], ids=str
)
def test_as_much_comes_out_through_convolutions_that_pass_pictures_on(
    channels: tuple[int, ...],
) -> None:
    """Average pooling behind each convolution is undone."""
    spec = ConvNet(channels=channels, activation="relu", hidden=(256,))
    honest = spec.build(SHAPE, 10, seed=0)
    sent = changed(TrapWeights(), copy.deepcopy(honest), BATCH)
    assert sent.constants["passed"] == 1
    scores = [recovered(DenseRows(), sent.model, private(BATCH, first=BATCH * c)) for c in range(2)]
    shares = [float((s > 40).double().mean()) for s in scores]
    assert min(shares) >= 0.2
    assert sum(shares) / len(shares) == pytest.approx(sent.expected, abs=0.15)
    before, after = honest.state_dict(), sent.model.state_dict()
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}
    assert sorted(k for k in before if not torch.equal(before[k], after[k])) == sorted(sent.tensors)


def strided(width: int = 4) -> nn.Module:
    """Return a network with a stride in place of pooling, whose values are undefined."""
    return nn.Sequential(
        nn.Conv2d(1, width, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * 14 * 14, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def test_strides_lose_nothing() -> None:
    sent = changed(TrapWeights(), strided(), BATCH)
    assert sent.constants["passed"] == 1
    scores = recovered(DenseRows(), sent.model, private(BATCH))
    assert float((scores > 40).double().mean()) >= 0.2


def test_too_few_filters_give_averaged_pictures() -> None:
    model = ConvNet(channels=(2,), activation="relu", hidden=(64,)).build(SHAPE, 10, seed=0)
    sent = changed(TrapWeights(), model, BATCH)
    assert sent.constants["passed"] == 0.5
    scores = recovered(DenseRows(), sent.model, private(BATCH))
    assert float(scores.max()) < 40


def pooled(pool: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(784, 16), nn.ReLU()
    )


@pytest.mark.parametrize(
    "model",
    [
        pooled(nn.MaxPool2d(2)),
        pooled(nn.Sequential(nn.GELU(), nn.AvgPool2d(2))),
        pooled(nn.Sequential(nn.BatchNorm2d(4), nn.AvgPool2d(2))),
        pooled(nn.Sequential(nn.Dropout2d(), nn.AvgPool2d(2))),
    ],
    ids=["max pooling", "gelu", "batch norm", "dropout"],
)
def test_layers_that_cannot_be_undone_are_refused(model: nn.Module) -> None:
    with pytest.raises(RunError, match="need a dense layer that the picture reaches, through ReLU"):
        changed(TrapWeights(), model, BATCH)


def test_shape_and_size_stay_and_the_scale_is_chosen_on_public_data() -> None:
    model = MLP(hidden=(64,), activation="relu").build(SHAPE, 10, seed=0)
    sent = changed(TrapWeights(), copy.deepcopy(model), BATCH)
    before, after = model.state_dict(), sent.model.state_dict()
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}
    assert sorted(k for k in before if not torch.equal(before[k], after[k])) == sorted(sent.tensors)
    assert float(after["dense1.weight"].std()) == pytest.approx(
        float(before["dense1.weight"].std()), rel=0.1
    )
    fixed = changed(TrapWeights(scale=0.99), copy.deepcopy(model), BATCH)
    assert fixed.constants == {"scale": 0.99}
    assert fixed.expected < sent.expected


def test_a_row_has_the_same_numbers_on_both_sides() -> None:
    negative, positive = trap_rows(3, 9, torch.Generator().manual_seed(0))
    assert torch.equal(negative.sort(1).values, positive.sort(1).values)
    assert ((negative > 0).sum(1) == 4).all()
    assert not ((negative > 0) & (positive > 0)).any()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (MLP(hidden=(32,), activation="sigmoid"), "need a ReLU behind 'dense1'"),
        (LeNet(), "need a dense layer"),
        (ConvNet(channels=(4,), activation="relu"), "need a ReLU behind 'head'"),
        (ConvNet(channels=(4,), hidden=(8,)), "need a dense layer that the picture reaches"),
    ],
)
def test_models_without_such_a_layer_are_refused(model: ModelSpec, said: str) -> None:
    with pytest.raises(RunError, match=said):
        changed(TrapWeights(), model.build(SHAPE, 10, seed=0), BATCH)


@pytest.mark.parametrize("name", MANIPULATIONS.names())
def test_every_manipulation_is_described(name: str) -> None:
    assert MANIPULATIONS.summary(name).endswith(".")
