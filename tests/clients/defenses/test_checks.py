"""Checks notice changed models, and leave honest ones alone."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import Attack
from fedsim.attacks.closed.bins import DenseBins
from fedsim.attacks.closed.rows import DenseRows
from fedsim.attacks.fished import Fished
from fedsim.clients.defenses import (
    ArchitectureDrift,
    Check,
    DeadUnits,
    Finding,
    NoDefense,
    Received,
    SingleExampleDominance,
    WeightStatistics,
    examined,
)
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec
from fedsim.server.malicious import Fishing, Imprint, Manipulation, ScaleMIA, TrapWeights
from tests.server.malicious.batches import changed, clothes, private, public, recovered

SHAPE, BATCH = (1, 28, 28), 32
CHECKS = (ArchitectureDrift(), WeightStatistics(), DeadUnits(), SingleExampleDominance())
RELU = MLP(hidden=(256,), activation="relu")
THROUGH = ConvNet(channels=(8, 16), activation="relu", hidden=(256,))


def received(model: nn.Module, expected: Mapping[str, Tensor], first: int = 0) -> Received:
    shapes = {k: tuple(v.shape) for k, v in expected.items()}
    return Received(model.state_dict(), shapes, lambda: model, lambda: private(BATCH, first))


def noticed(found: Received) -> set[str]:
    return {type(c).__name__ for c in CHECKS if c.examine(found).problem is not None}


def test_each_manipulation_is_noticed() -> None:
    honest = RELU.build(SHAPE, 10, seed=0).state_dict()
    trap = changed(TrapWeights(), RELU.build(SHAPE, 10, seed=0), BATCH).model
    assert noticed(received(trap, honest)) == {"WeightStatistics", "SingleExampleDominance"}
    plain = THROUGH.build(SHAPE, 10, seed=0).state_dict()
    trap = changed(TrapWeights(), THROUGH.build(SHAPE, 10, seed=0), BATCH).model
    assert noticed(received(trap, plain)) == {"DeadUnits", "SingleExampleDominance"}
    imprint = changed(Imprint(bins=64), RELU.build(SHAPE, 10, seed=0), BATCH).model
    assert noticed(received(imprint, honest)) >= {"ArchitectureDrift", "WeightStatistics"}
    scale = changed(ScaleMIA(), THROUGH.build(SHAPE, 10, seed=0), BATCH).model
    assert noticed(received(scale, plain)) == {"WeightStatistics"}
    for by in ("class", "feature"):
        fishing = changed(Fishing(label=1, by=by), RELU.build(SHAPE, 10, seed=0), BATCH).model
        assert noticed(received(fishing, honest)) == {"DeadUnits"}


class Peeking(Check):
    """Refuses by what is in the batch, and does not say that it needs it."""

    def examine(self, received: Received) -> Finding:
        assert received.batch is None
        assert received.model is None
        return Finding(None)


def test_a_check_that_does_not_need_the_batch_cannot_see_it() -> None:
    model = RELU.build(SHAPE, 10, seed=0)
    examined([Peeking()], received(model, model.state_dict()))


@pytest.mark.parametrize(
    ("manipulation", "spec", "attack", "noticed_by", "least"),
    [
        (Imprint(bins=256, tuned=True), RELU, DenseBins(), {"ArchitectureDrift"}, 0.6),
        (TrapWeights(tuned=True), RELU, DenseRows(), set(), 0.2),
        (TrapWeights(tuned=True), THROUGH, DenseRows(), set(), 0.2),
        (ScaleMIA(tuned=True), RELU, DenseBins(), set(), 0.6),
    ],
    ids=["imprint", "trap weights", "trap weights through convolutions", "scale-mia"],
)
def test_attacks_tuned_against_the_checks_of_weights(
    manipulation: Manipulation,
    spec: ModelSpec,
    attack: Attack,
    noticed_by: set[str],
    least: float,
) -> None:
    """A known limit: bins among decoys, and trap weights that give away less, are not noticed."""
    honest = spec.build(SHAPE, 10, seed=0).state_dict()
    evading = changed(manipulation, spec.build(SHAPE, 10, seed=0), BATCH).model
    assert noticed(received(evading, honest)) == noticed_by
    scores = recovered(attack, evading, private(BATCH))
    assert float((scores > 40).double().mean()) >= least


@pytest.mark.slow
def test_tuned_bins_of_features_are_read_behind_convolutions() -> None:
    honest = THROUGH.build(SHAPE, 10, seed=0).state_dict()
    evading = changed(ScaleMIA(tuned=True), THROUGH.build(SHAPE, 10, seed=0), 16).model
    assert noticed(received(evading, honest)) == set()
    attack = DenseBins().with_public_pictures(public(16).inputs)
    scores = recovered(attack, evading, private(16))
    assert float((scores > 18).double().mean()) >= 0.6


def test_tuned_fishing_for_a_class() -> None:
    """A known limit: rows that hardly matter look as rows of a small network do."""
    honest = RELU.build(SHAPE, 10, seed=0).state_dict()
    evading = changed(Fishing(label=1, tuned=True), RELU.build(SHAPE, 10, seed=0), BATCH).model
    assert noticed(received(evading, honest)) == set()
    pictures, labels = private(300)
    rest, ours = (labels != 1).nonzero().flatten(), (labels == 1).nonzero().flatten()
    chosen = torch.cat([rest[: BATCH - 1], ours[:1]])
    batch = pictures[chosen], labels[chosen]
    assert float(recovered(Fished(evaluations=1), evading, batch)[-1]) > 25


def test_an_honest_wide_network_gives_away_as_much_as_trap_weights() -> None:
    """A known limit: dominance measures a leak and not malice."""
    wide = MLP(hidden=(1024,), activation="relu").build(SHAPE, 10, seed=0)
    public = clothes().test.batch(np.arange(BATCH))
    steps = torch.optim.SGD(wide.parameters(), lr=0.1)
    shares = []
    for _ in range(10):
        found = Received(wide.state_dict(), {}, lambda: wide, lambda: public)
        shares.append(SingleExampleDominance().examine(found).did["given_away"])
        steps.zero_grad()
        nn.functional.cross_entropy(wide(public[0]), public[1]).backward()
        steps.step()
    assert max(shares) >= SingleExampleDominance().share


@pytest.mark.parametrize("spec", [RELU, MLP(), LeNet(), ConvNet(channels=(8, 16))], ids=str)
def test_honest_models_raise_no_alarm(spec: ModelSpec) -> None:
    """Fresh and in training, over 15 rounds of 4 steps."""
    model = spec.build(SHAPE, 10, seed=0)
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    pictures, labels = clothes().train.batch(np.arange(640))
    for number in range(15):
        assert noticed(received(model, model.state_dict(), BATCH * number)) == set()
        for part in range(4):
            rows = slice(64 * (part + number) % 640, 64 * (part + number) % 640 + 64)
            steps.zero_grad()
            nn.functional.cross_entropy(model(pictures[rows]), labels[rows]).backward()
            steps.step()


def test_a_refusal_ends_the_checks_and_a_warning_does_not() -> None:
    model = changed(TrapWeights(), RELU.build(SHAPE, 10, seed=0), BATCH).model
    found = received(model, model.state_dict())
    chain = [NoDefense(), WeightStatistics(action="warn"), SingleExampleDominance()]
    done = examined(chain, found)
    assert done.refused is not None
    assert done.refused.startswith(
        "refused by single-example-dominance: your own gradient gives examples away, whether the "
        "server is malicious or not: rows of dense1 hold"
    )
    assert done.did[1]["flagged"] == 1
    warned = examined([WeightStatistics(action="warn")], found)
    assert warned.refused is None
    assert warned.did[0] == {"alike": 0, "mirrored": 1, "flagged": 1}


def test_small_batches_and_models_without_data_are_not_judged() -> None:
    model = RELU.build(SHAPE, 10, seed=0)
    blind = Received(model.state_dict(), {})
    assert SingleExampleDominance().examine(blind).problem is None
    single = Received({}, {}, lambda: model, lambda: private(1))
    assert SingleExampleDominance().examine(single).did == {"given_away": 0}


def test_a_model_without_dense_layers_gives_nothing_away() -> None:
    model = nn.Sequential(nn.Conv2d(1, 10, 28), nn.Flatten())
    found = Received({}, {}, lambda: model, lambda: private(BATCH))
    assert SingleExampleDominance().examine(found).did == {"given_away": 0}


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_check_changes_neither_model_nor_weights(check: Check) -> None:
    model = RELU.build(SHAPE, 10, seed=0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    check.examine(received(model, before))
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_dominance_takes_the_loss_of_the_client() -> None:
    """Of one output the cross-entropy is zero: with it, traps under a regression gave no alarm."""
    spec = RELU.build(SHAPE, 1, seed=0)
    model = changed(TrapWeights(), spec, BATCH).model
    pictures, classes = private(BATCH)
    batch = pictures, classes.float()[:, None]
    found = Received({}, {}, lambda: model, lambda: batch, loss=nn.functional.mse_loss)
    assert SingleExampleDominance().examine(found).problem is not None
    blind = replace(found, loss=Received({}, {}).loss)
    assert SingleExampleDominance().examine(blind).problem is None
