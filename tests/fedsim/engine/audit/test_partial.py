"""Uploads of a part of the model: what is missing is said, and what is there is attacked."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, ReconstructionRecord
from fedsim.server.foreign import named_as
from tests.fedsim.engine.audit.apps import CLASSES, Net, app, audited, notes, plain, train


class Lora(nn.Module):
    """A dense layer with an adapter of rank 2, as PEFT names it."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.base = nn.Linear(64, CLASSES)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(64, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, CLASSES, bias=False)})
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
        self.base.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        out: Tensor = self.base(flat) + self.lora_B["default"](self.lora_A["default"](flat))
        return out


def only(*parts: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """Return the change of an upload to the tensors with one of these parts in their names."""
    return lambda arrays: {k: v for k, v in arrays.items() if any(part in k for part in parts)}


def without_adapter_name(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.replace(".default", ""): v for k, v in only("lora")(arrays).items()}


@pytest.mark.parametrize(
    ("model", "change", "said"),
    [
        (plain, only("3."), "the uploads leave out 2 trained tensors (1.weight, 1.bias)"),
        (Net, only("first", "last"), None),
        (Lora, without_adapter_name, "the model as stated freezes 2 tensors (base.weight, base.b"),
    ],
    ids=["head", "all but BatchNorm", "LoRA"],
)
def test_a_part_of_the_model_is_attacked(
    model: Callable[[], nn.Module],
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    said: str | None,
    tmp_path: Path,
) -> None:
    audit = audited(tmp_path / "run", model=model, clients=1, mode="eval")
    train(audit, app(model, change=change, training=False), model)
    run = Run.read(tmp_path / "run")
    remarks = notes(tmp_path / "run")
    assert [text[: len(said)] for text in remarks] == [said] if said else not remarks
    [found] = [r for r in run.of_kind(ReconstructionRecord) if not r.is_control]
    assert found.error is None
    assert found.explained
    assert found.objective is not None
    assert found.objective < 0.2
    assert len(run.of_kind(LeakageRecord)) >= 2


def test_names_of_an_adapter_are_completed() -> None:
    shapes = {"base.weight": (2, 2), "lora_A.default.weight": (1, 2)}
    found = named_as({"lora_A.weight": torch.ones(1, 2)}, shapes)
    assert list(found) == ["lora_A.default.weight"]
