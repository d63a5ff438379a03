"""A model whose loss jumps is suspicious, and one in honest training is not."""

import copy
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from fedsim.clients.defenses import LossJump, Received, examined, loss_jump
from fedsim.clients.defenses.loss_jump import LEAST
from fedsim.models import MLP, LeNet
from fedsim.server.malicious import Fishing, Imprint, Manipulation, ScaleMIA, TrapWeights
from tests.server.malicious.batches import changed, clothes, private

SHAPE, BATCH = (1, 28, 28), 16
CHECK = LossJump()


def received(model: nn.Module, first: int, remembered: Mapping[str, float]) -> Received:
    return Received({}, {}, lambda: model, lambda: private(BATCH, first), remembered=remembered)


@cache
def trained() -> tuple[nn.Module, dict[str, float]]:
    """Return a trained model, and what a client remembers that has checked all models before."""
    model, kept = MLP(hidden=(96,), activation="relu").build(SHAPE, 10, seed=0), {}
    steps = torch.optim.SGD(model.parameters(), lr=0.2)
    pictures, labels = clothes().train.batch(np.arange(1600))
    for step in range(120):
        if step % 10 == 0:
            found = CHECK.examine(received(model, BATCH * step % 1600, kept))
            assert found.problem is None
            kept = dict(found.kept)
        rows = torch.randperm(1600, generator=torch.Generator().manual_seed(step))[:64]
        steps.zero_grad()
        nn.functional.cross_entropy(model(pictures[rows]), labels[rows]).backward()
        steps.step()
    return model, kept


@pytest.mark.slow
@pytest.mark.parametrize(
    ("manipulation", "noticed"),
    [
        (TrapWeights(), True),
        (TrapWeights(tuned=True), True),
        (ScaleMIA(tuned=True), True),
        (Fishing(label=1, tuned=True), True),
        (Imprint(bins=64, tuned=True), False),
    ],
    ids=str,
)
def test_tuned_attacks_on_a_trained_model_are_noticed_but_those_that_keep_it(
    manipulation: Manipulation, *, noticed: bool
) -> None:
    model, kept = trained()
    sent = changed(manipulation, copy.deepcopy(model), BATCH).model
    found = CHECK.examine(received(sent, 0, kept))
    assert (found.problem is not None) is noticed
    if noticed:
        assert "times that of outputs of zero, after at most" in str(found.problem)
        assert found.kept == kept


@pytest.mark.parametrize(
    ("losses", "noticed"), [((0.1, 0.1, 0.9), True), ((0.1, 0.1, 0.5, 0.9), False)], ids=str
)
def test_a_patient_server_is_not_noticed(losses: tuple[float, ...], *, noticed: bool) -> None:
    """Known limit: each of its steps is less than the rise that is suspicious."""
    kept: Mapping[str, float] = {}
    for value in losses:
        model = nn.Linear(1, 1)
        nn.init.zeros_(model.weight)
        nn.init.constant_(model.bias, value - 1)
        batch = torch.zeros(BATCH, 1), torch.zeros(BATCH)
        found = CHECK.examine(
            Received(
                {}, {}, lambda model=model: model, lambda batch=batch: batch, remembered=kept,
                loss=lambda outputs, _labels: outputs.mean() + 1,
            )
        )  # fmt: skip
        kept = found.kept
    assert (found.problem is not None) is noticed


@pytest.mark.parametrize(("least", "alarms"), [(1, True), (LEAST, False)])
def test_fresh_networks_of_large_weights_raise_no_alarm(
    monkeypatch: pytest.MonkeyPatch, *, least: int, alarms: bool
) -> None:
    monkeypatch.setattr(loss_jump, "LEAST", least)
    pictures, labels = clothes().test.batch(np.arange(500))
    found = []
    for seed in range(4):
        model, kept = LeNet().build(SHAPE, 10, seed=seed), dict[int, dict[str, float]]()
        steps = torch.optim.SGD(model.parameters(), lr=0.1)
        generator = torch.Generator().manual_seed(seed)
        for step in range(12):
            rows = torch.randperm(500, generator=generator)[:8]
            batch = pictures[rows], labels[rows]
            own = kept.get(step % 4, {})
            done = CHECK.examine(
                Received({}, {}, lambda m=model: m, lambda b=batch: b, remembered=own)
            )
            kept[step % 4] = dict(done.kept)
            found.append(done.problem is not None)
            steps.zero_grad()
            nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
            steps.step()
    assert any(found) is alarms


def test_a_first_model_is_not_judged() -> None:
    sent = changed(Fishing(label=1), MLP().build(SHAPE, 10, seed=0), BATCH).model
    assert CHECK.examine(received(sent, 0, {})).problem is None
    assert CHECK.examine(Received({}, {})).problem is None


def test_each_check_remembers_its_own_numbers() -> None:
    model, kept = trained()
    done = examined([CHECK, CHECK], received(model, 0, {}), {1: kept})
    assert len(done.kept[0]) == 1
    assert len(done.kept[1]) == 5


def test_numbers_are_judged_by_their_own_loss() -> None:
    """A regression whose error jumps; targets of zero leave nothing to compare with."""
    target = torch.arange(BATCH, dtype=torch.float32)[:, None]
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))
    pictures, _ = private(BATCH)

    def told(labels: torch.Tensor, remembered: Mapping[str, float]) -> Received:
        return Received(
            {}, {}, lambda: model, lambda: (pictures, labels), remembered=remembered,
            loss=nn.functional.mse_loss,
        )  # fmt: skip

    found = CHECK.examine(told(target, {}))
    assert found.did["loss"] == pytest.approx(1, abs=0.3)
    assert CHECK.examine(told(target, {"0": 0.1, "1": 0.05})).problem is not None
    assert CHECK.examine(told(target, {"0": 0.9, "1": 0.95})).problem is None
    assert CHECK.examine(told(0 * target, {"0": 0.1, "1": 0.05})).problem is None


@pytest.mark.parametrize("size", [1, 4])
def test_small_batches_of_hard_examples_are_not_judged(size: int) -> None:
    """A single misclassified example has a loss far above that of any batch before."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    pictures, labels = private(BATCH)
    hard = nn.functional.cross_entropy(model(pictures), labels, reduction="none").argsort()[-size:]
    told = Received(
        {}, {}, lambda: model, lambda: (pictures[hard], labels[hard]),
        remembered={"0": 0.1, "1": 0.1},
    )  # fmt: skip
    found = CHECK.examine(told)
    assert found.problem is None
    assert found.did["loss"] > 0.6
