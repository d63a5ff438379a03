"""Features that a dense layer sorts into bins give pictures away behind honest convolutions."""

import copy

import numpy as np
import pytest
import torch

from fedsim.attacks import Observation
from fedsim.attacks.closed.bins import DenseBins
from fedsim.attacks.closed.front import entering
from fedsim.clients.site import site_of
from fedsim.core.errors import RunError
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec
from fedsim.server.malicious import ScaleMIA
from fedsim.server.malicious.imprint import alone_in_theory
from tests.fedsim.small import small
from tests.server.malicious.batches import changed, clothes, private, public, recovered
from tests.server.test_manipulating import federated

SHAPE = (1, 28, 28)
SMALL = ConvNet(channels=(4,), activation="relu", hidden=(64,))


def test_only_the_dense_layers_change() -> None:
    honest = SMALL.build(SHAPE, 10, seed=0)
    sent = changed(ScaleMIA(), copy.deepcopy(honest), 8)
    before, after = honest.state_dict(), sent.model.state_dict()
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}
    differing = {k for k in before if not torch.equal(before[k], after[k])}
    assert differing == {"dense1.weight", "dense1.bias", "head.weight"}
    assert differing == set(sent.tensors)
    assert sent.expected == alone_in_theory(8, 64)


@pytest.mark.slow
def test_pictures_alone_in_their_bin_come_out() -> None:
    sent = changed(ScaleMIA(), SMALL.build(SHAPE, 10, seed=0), 8)
    batch = private(8)
    features = entering(sent.model, "dense1", batch[0]).double().mean(1)
    limits = -sent.model.get_parameter("dense1.bias").detach().double() * 64
    bins = torch.bucketize(features, limits)
    alone = torch.bincount(bins)[bins] == 1
    attack = DenseBins().with_public_pictures(public(8).inputs)
    scores = recovered(attack, sent.model, batch)
    assert float(alone.double().mean()) >= 0.5
    assert float(scores[alone].mean()) > 20


@pytest.mark.slow
@pytest.mark.parametrize(("bins", "counted", "clear"), [(512, 0.7, 0.3), (2048, 0.85, 0.6)])
def test_batch_of_64_behind_three_convolutions(bins: int, counted: float, clear: float) -> None:
    """More bins isolate more pictures; the authors count a picture from 18 dB on."""
    spec = ConvNet(activation="relu", hidden=(bins,))
    sent = changed(ScaleMIA(), spec.build(SHAPE, 10, seed=0), 64)
    attack = DenseBins().with_public_pictures(public(64).inputs)
    scores = recovered(attack, sent.model, private(64))
    assert float((scores > 18).double().mean()) >= counted
    assert float((scores > 25).double().mean()) >= clear


@pytest.mark.slow
def test_a_secure_sum_of_four_clients_is_read_as_one_batch() -> None:
    scenario = small(
        "model={name='convnet', channels=[8, 16], activation='relu', hidden=[512]}",
        "clients=[{name='a', count=4}]",
        "federation={rounds=1, batch_size=4, aggregation='secagg+'}",
        "adversary={malicious='scale-mia', rounds=[1]}",
    )
    seen, site = federated(scenario), site_of(scenario.to_toml())
    assert seen.sums[1].problem is None
    model = site.architecture
    model.load_state_dict(seen.arrays[1])
    names = [k for k, _ in model.named_parameters()]
    observed = Observation({k: seen.sums[1].arrays[k] for k in names}, SHAPE, 16)
    attack = DenseBins().with_public_pictures(public(16).inputs)
    [found] = attack.run(model, [observed])
    assert found.data is not None
    truth = torch.cat([site.batches(client, 1)[0][0] for client in range(4)])
    errors = torch.cdist(truth.flatten(1), found.data.flatten(1)).amin(1).square() / 784
    assert int((errors < 10**-1.8).sum()) >= 8


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (ConvNet(channels=(4,), hidden=(8,)), "need a ReLU behind 'dense1'"),
        (LeNet(), "need two dense layers"),
        (MLP(hidden=()), "need two dense layers"),
    ],
)
def test_models_without_such_layers_are_refused(spec: ModelSpec, said: str) -> None:
    with pytest.raises(RunError, match=said):
        changed(ScaleMIA(), spec.build(SHAPE, 10, seed=0), 8)


def test_without_convolutions_it_is_exact() -> None:
    """The features are the picture."""
    spec = MLP(hidden=(256,), activation="relu")
    sent = changed(ScaleMIA(), spec.build(SHAPE, 10, seed=0), 16)
    scores = recovered(DenseBins(), sent.model, clothes().train.batch(np.arange(16)))
    assert float((scores > 40).double().mean()) >= 0.5
