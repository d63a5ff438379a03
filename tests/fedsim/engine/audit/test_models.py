"""Models and losses of all kinds, audited at batch 1: each leaks above its blind guesses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, Meaning
from tests.fedsim.engine.audit.apps import CLASSES, SHAPE, Batch, app, audited, batch, train


def dense(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, outputs))


class Heads(nn.Module):
    """Two heads, returned as a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh())
        self.one, self.two = nn.Linear(32, 2), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(x)
        return self.one(hidden), self.two(hidden)


class Named(nn.Module):
    """A dense network that returns a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.net(x)}


def of_heads(outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    one, two = outputs
    return F.binary_cross_entropy_with_logits(one, target[:, :2]) + F.mse_loss(two, target[:, 2:])


def of_logits(outputs: Any, labels: Tensor) -> Tensor:
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs.logits
    return F.cross_entropy(logits, labels)


def targets(count: int) -> Callable[[int, int], Batch]:
    def data(partition: int, server_round: int) -> Batch:
        inputs, _ = batch(partition, server_round)
        return inputs, torch.linspace(0, 1, count)[None].round()

    return data


Case = tuple[Callable[[], nn.Module], Callable[[int, int], Batch], Any, Any]
CASES: dict[str, Case] = {
    "regression": (lambda: dense(1), targets(1), nn.MSELoss(), nn.MSELoss()),
    "multi-label": (
        lambda: dense(5), targets(5), nn.BCEWithLogitsLoss(), nn.BCEWithLogitsLoss(),
    ),
    "two heads": (Heads, targets(5), of_heads, of_heads),
    "mapping": (Named, batch, of_logits, None),
    "label smoothing": (
        lambda: dense(CLASSES), batch,
        nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(label_smoothing=0.1),
    ),
}  # fmt: skip


def check(folder: Path, case: Case, **stated: Any) -> None:
    model, data, loss, said = case
    audit = audited(folder, model=model, truth=data, loss=said, clients=1, **stated)
    train(audit, app(model, data, loss=loss), model)
    run = Run.read(folder)
    assert not run.summary.notes
    meanings = [r.score.meaning for r in run.of_kind(LeakageRecord)]
    assert set(meanings) == {Meaning.LEAKED}
    assert len(meanings) == 2


@pytest.mark.parametrize("name", CASES)
def test_it_leaks_in_closed_form(name: str, tmp_path: Path) -> None:
    check(tmp_path / "run", CASES[name])


def test_a_loss_by_its_name_takes_the_targets_that_public_examples_have(tmp_path: Path) -> None:
    inputs = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(0))
    model, data, loss, _ = CASES["multi-label"]
    case = (model, data, loss, "bce")
    check(tmp_path / "run", case, public=(inputs, torch.eye(5).repeat(2, 1)[:6]))


def grouped() -> nn.Module:
    convolution = (nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.Sigmoid())
    return nn.Sequential(*convolution, nn.Flatten(), nn.Linear(8 * 64, CLASSES))


@pytest.mark.slow
def test_a_network_with_group_norm_leaks(tmp_path: Path) -> None:
    check(tmp_path / "run", (grouped, batch, F.cross_entropy, None), evaluations=300)


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification  # noqa: PLC0415

    config = ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=SHAPE[1], patch_size=4, num_channels=SHAPE[0], num_labels=CLASSES,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager",
    )  # fmt: skip
    return ViTForImageClassification(config)


@pytest.mark.slow
def test_a_vision_transformer_of_hugging_faces_leaks(tmp_path: Path) -> None:
    check(tmp_path / "run", (vit, batch, of_logits, None), evaluations=400)
