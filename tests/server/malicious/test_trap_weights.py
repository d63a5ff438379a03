"""Trap weights let single examples of a batch through."""

import copy

import pytest
import torch

from fedsim.attacks.closed.rows import DenseRows
from fedsim.core.errors import RunError
from fedsim.core.registry import MANIPULATIONS
from fedsim.models import MLP, LeNet
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
    ],
)
def test_models_without_such_a_layer_are_refused(model: MLP | LeNet, said: str) -> None:
    with pytest.raises(RunError, match=said):
        changed(TrapWeights(), model.build(SHAPE, 10, seed=0), BATCH)


@pytest.mark.parametrize("name", MANIPULATIONS.names())
def test_every_manipulation_is_described(name: str) -> None:
    assert MANIPULATIONS.summary(name).endswith(".")
