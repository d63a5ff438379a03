"""Losses by name: PyTorch's own, for clients and attackers alike."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from fedsim.attacks import BestOf, Observation, infer_labels, mean_cross_entropy
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.clients.site import open_site
from fedsim.clients.training import differentiate
from fedsim.core.errors import DataError
from fedsim.core.registry import LOSSES
from fedsim.engine import run
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import Doubt, LeakageRecord, ReconstructionRecord
from fedsim.models.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Dice,
    Loss,
    MeanSquaredError,
    register_loss,
)
from tests.fedsim.small import groups, refusal, small

pytestmark = pytest.mark.numeric

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(5, 3, generator=GENERATOR, dtype=torch.float64)
CLASSES = torch.tensor([0, 2, 1, 1, 0])
ROWS = F.one_hot(CLASSES, 3).double()
WEIGHTS = (0.2, 1.0, 3.0)
ALL = [
    CrossEntropy(smoothing=0.1),
    CrossEntropy(weights=WEIGHTS),
    CrossEntropy(smoothing=0.2, weights=WEIGHTS),
    BinaryCrossEntropy(),
    MeanSquaredError(),
    Dice(),
]
IDS = ["smoothed", "weighted", "both", "bce", "mse", "dice"]


def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
    weight = torch.tensor(WEIGHTS, dtype=torch.float64)
    return F.cross_entropy(logits, labels, weight, label_smoothing=0.2)


@pytest.mark.parametrize(
    ("loss", "peer"),
    [
        (CrossEntropy(), F.cross_entropy),
        (CrossEntropy(smoothing=0.2, weights=WEIGHTS), smoothed),
        (BinaryCrossEntropy(), lambda x, _: nn.BCEWithLogitsLoss()(x, ROWS)),
        (MeanSquaredError(), lambda x, _: nn.MSELoss()(x, ROWS)),
    ],
    ids=["plain", "both", "bce", "mse"],
)
def test_losses_are_those_of_torch(loss: Loss, peer: Callable[..., Tensor]) -> None:
    found = loss.of_labels(LOGITS, CLASSES)
    assert torch.isclose(found, peer(LOGITS, CLASSES), rtol=1e-12)
    assert torch.isclose(found, loss.function()(LOGITS, ROWS), rtol=1e-12)


def test_dice_is_one_minus_the_overlap() -> None:
    sure = 50 * (2 * ROWS - 1)
    assert float(Dice().of_labels(sure, CLASSES)) < 1e-12
    assert float(Dice(smooth=1e-9).of_labels(-sure, CLASSES)) == pytest.approx(1, abs=1e-6)


def test_the_plain_loss_alone_is_the_plain_cross_entropy() -> None:
    assert CrossEntropy().function() is mean_cross_entropy
    for loss in ALL:
        assert not loss.is_plain
        seen = Observation({}, (1,), loss=loss.function())
        assert not seen.is_classification
        assert seen.has_classes


def observed(loss: Loss, labels: Tensor, scale: float = 1.0) -> tuple[nn.Module, Observation]:
    torch.manual_seed(int(labels.sum()))
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    with torch.no_grad():
        model[3].weight.mul_(scale)
    inputs = torch.rand(len(labels), 1, 3, 4, dtype=torch.float64)
    gradient = differentiate(model, (inputs, labels), loss.of_labels).gradients
    seen = Observation(gradient, (1, 3, 4), len(labels), loss=loss.function())
    return model, seen


FOUR = CrossEntropy(smoothing=0.2, weights=(1.0, 2.0, 0.5, 1.0))


@pytest.mark.parametrize("loss", [CrossEntropy(smoothing=0.3), FOUR, *ALL[3:]])
@pytest.mark.parametrize("label", range(4))
def test_the_label_of_one_example_is_exact(loss: Loss, label: int) -> None:
    model, seen = observed(loss, torch.tensor([label]), scale=8)
    assert known_or_inferred(model, seen).tolist() == [label]


def test_the_rule_of_the_plain_loss_fails_for_a_sure_model_and_smoothed_labels() -> None:
    """Which is why another one is applied: with the true class far ahead its entry is positive."""
    model, seen = observed(CrossEntropy(smoothing=0.3), torch.tensor([2]), scale=8)
    with torch.no_grad():
        model[3].bias[2] += 20
    inputs = torch.rand(1, 1, 3, 4, dtype=torch.float64)
    loss = CrossEntropy(smoothing=0.3).of_labels
    gradient = differentiate(model, (inputs, torch.tensor([2])), loss).gradients
    assert infer_labels(model, gradient, (1, 3, 4), 1).tolist() != [2]
    sure = Observation(gradient, (1, 3, 4), loss=seen.loss)
    assert known_or_inferred(model, sure).tolist() == [2]


@pytest.mark.parametrize("loss", [CrossEntropy(smoothing=0.1), *ALL[3:]])
def test_the_labels_of_a_batch_are_estimated(loss: Loss) -> None:
    labels = torch.tensor([0, 1, 1, 3])
    model, seen = observed(loss, labels)
    assert known_or_inferred(model, seen).tolist() == labels.tolist()


@pytest.mark.parametrize("loss", [FOUR, *ALL[3:]], ids=["cross-entropy", *IDS[3:]])
def test_a_picture_is_found_under_its_loss_and_not_under_another(loss: Loss) -> None:
    model, seen = observed(loss, torch.tensor([1]))
    [found] = BestOf().run(model, [seen])
    assert found.labels is not None
    assert found.labels.tolist() == [1]
    assert found.relative_objective < 1e-12
    assert found.data is not None
    fit = BestOf().truth_fit(model, seen, found.data, torch.tensor([1]))
    assert fit.explained
    plain = Observation(seen.gradient, seen.input_shape)
    wrong = BestOf().truth_fit(model, plain, found.data, torch.tensor([1]))
    assert not wrong.explained


LOSS_TABLES = ["'bce'", "{name='cross-entropy', smoothing=0.1}"]


@pytest.mark.slow
@pytest.mark.parametrize("table", LOSS_TABLES)
def test_a_run_attacks_with_the_loss_of_its_clients(table: str, tmp_path: Path) -> None:
    case = small(
        f"federation={{rounds=1, batch_size=1, loss={table}}}",
        groups("[]", "[{name='gaussian-noise', std=0.0001}]"),
        "adversary={attack={name='best', evaluations=30}}",
    )
    records = list(read_records(run(case, tmp_path / "run")))
    found = of_kind(records, ReconstructionRecord)
    assert [r.explained for r in found if r.is_control or r.who == "group 0"] == [True, True]
    told = [r.score for r in of_kind(records, LeakageRecord)]
    assert all(score.label_found == score.label for score in told)
    # The noise that the naive attacker ignores is wrong equations.
    noisy = [r.score.doubts for r in of_kind(records, LeakageRecord) if r.who == "group 1"]
    assert all(Doubt.WRONG_EQUATIONS in doubts for doubts in noisy if doubts)


def test_wrong_losses_are_refused() -> None:
    assert "unknown loss 'bcee': did you mean 'bce'" in refusal("federation.loss='bcee'")
    texts = "data={dataset='messages'}"
    assert "the plain 'cross-entropy' alone" in refusal(
        texts, "model='gpt2'", "federation.loss='mse'"
    )
    two = small("federation.loss={name='cross-entropy', weights=[1, 2]}")
    with pytest.raises(DataError, match="2 weights for 10 classes"):
        open_site(two)


def test_a_function_becomes_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    LOSSES.names()
    monkeypatch.setattr(LOSSES, "_classes", dict(LOSSES._classes))

    def heads(outputs: Tensor, rows: Tensor) -> Tensor:
        one, two = outputs.split([2, 1], dim=-1), rows.split([2, 1], dim=-1)
        return F.mse_loss(one[0], two[0]) + F.binary_cross_entropy_with_logits(one[1], two[1])

    loss = register_loss("two-heads", heads)()
    assert torch.isclose(loss.of_labels(LOGITS, CLASSES), heads(LOGITS, ROWS))
    assert LOSSES.summary("two-heads").startswith("A loss of the user's own: test_a_function")
