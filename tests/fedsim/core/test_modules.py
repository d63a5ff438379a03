"""What attacks, defenses and scores ask of a model's modules."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from fedsim.core.modules import (
    batch_norms,
    copied,
    last_linear,
    normalises_by_batch,
    normalising_by_batch,
    on_cpu,
    probing,
)


def network(**options: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2, **options),
        nn.Flatten(),
        nn.Linear(8, 3),
        nn.Dropout(),
    )


def test_batch_norms() -> None:
    model = network()
    assert list(batch_norms(model)) == ["1"]
    assert batch_norms(nn.LayerNorm(3)) == {}


@pytest.mark.parametrize("tracked", [True, False])
def test_without_running_statistics_the_batch_always_counts(tracked: bool) -> None:
    model = network(track_running_stats=tracked)
    assert normalises_by_batch(model.train())
    assert normalises_by_batch(model.eval()) is not tracked
    assert list(normalising_by_batch(model.train())) == ["1"]


def test_the_classification_layer_is_the_last_dense_one() -> None:
    found = last_linear(nn.Sequential(nn.Linear(2, 3), network()))
    assert found is not None
    assert found[0] == "1.3"
    assert found[1].out_features == 3
    assert last_linear(nn.Flatten()) is None
    assert last_linear(nn.Linear(2, 3)) is not None


def test_probing_shows_all_modules_and_leaves_no_trace() -> None:
    model = network().train()
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    seen: list[tuple[str, tuple[int, ...]]] = []

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen.append((type(module).__name__, tuple(output.shape)))
        assert not module.training
        assert not output.requires_grad

    with probing(model, look):
        model(torch.ones(2, 1, 4, 4))
    assert [name for name, _ in seen] == [
        "Conv2d", "BatchNorm2d", "Flatten", "Linear", "Dropout", "Sequential",
    ]  # fmt: skip
    assert seen[3] == ("Linear", (2, 3))
    assert [m.training for m in model] == [True, False, True, True, True]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    model(torch.ones(2, 1, 4, 4))
    assert len(seen) == 6


def test_probing_puts_modes_back_after_an_error() -> None:
    model = network().train()
    with pytest.raises(RuntimeError), probing(model, lambda *_: None):
        model(torch.ones(2, 3))
    assert all(m.training for m in model.modules())


def test_a_model_without_values_gets_a_place_on_the_cpu() -> None:
    with torch.device("meta"):
        model = network()
    model[3].weight.requires_grad_(False)
    model.register_buffer("passing", torch.empty(3, device="meta"), persistent=False)
    expected = network()
    built = on_cpu(model)
    shapes = {k: (v.shape, v.dtype, v.device) for k, v in expected.state_dict().items()}
    assert {k: (v.shape, v.dtype, v.device) for k, v in built.state_dict().items()} == shapes
    assert built.get_buffer("passing").device.type == "cpu"
    assert [k for k, p in built.named_parameters() if not p.requires_grad] == ["3.weight"]


@pytest.mark.slow
def test_building_a_model_imports_no_symbolic_mathematics() -> None:
    code = "import sys; from fedsim.models import LeNet; LeNet().build((1, 28, 28), 10, seed=0)"
    code += "; sys.exit('sympy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_copied_model_is_separate_in_all_that_it_holds() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    model[0].register_forward_hook(lambda *_: None)
    own = copied(model)
    for one, other in zip(model.modules(), own.modules(), strict=True):
        assert type(one) is type(other)
        held = {k: v for k, v in vars(one).items() if isinstance(v, dict | set)}
        assert all(vars(other)[k] is not v for k, v in held.items())
        assert len(one._forward_hooks) == len(other._forward_hooks)
    own[0].register_forward_pre_hook(lambda *_: None)
    assert not model[0]._forward_pre_hooks
    with torch.no_grad():
        own[0].weight.zero_()
    assert bool((model[0].weight != 0).any())
    assert own[0].weight.requires_grad


def test_a_copied_model_shares_what_it_shared() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    model.again = model[0]
    own = copied(model)
    assert own[1].weight is own[0].weight
    assert own[1].weight is not model[1].weight
    assert own.again is own[0]


def test_modules_that_say_how_they_are_copied_are_asked() -> None:
    class Own(nn.Linear):
        def __deepcopy__(self, memo: object) -> nn.Module:
            return nn.Identity()

    class Restored(nn.Linear):
        def __setstate__(self, state: dict[str, Any]) -> None:
            super().__setstate__(state)
            self.restored = True

    own = copied(nn.Sequential(Own(1, 1), Restored(1, 1)))
    assert isinstance(own[0], nn.Identity)
    assert own[1].restored


@pytest.mark.parametrize("kind", [nn.LSTM, nn.TransformerEncoderLayer, nn.MultiheadAttention])
def test_a_copied_layer_computes_the_same(kind: type[nn.Module]) -> None:
    layer = kind(8, 2).eval()
    entered = [torch.randn(3, 1, 8)] * (3 if kind is nn.MultiheadAttention else 1)
    one, other = layer(*entered), copied(layer)(*entered)
    one, other = (o[0] if isinstance(o, tuple) else o for o in (one, other))
    assert torch.equal(one, other)
