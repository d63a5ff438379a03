"""Settings of a ladder."""

import itertools
from typing import Any

import torch
from torch import nn

from fedsim.engine.audit.details import TrainingDetails
from fedsim.engine.audit.making import plan_of
from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.ladder.settings import settings_of
from tests.fedsim.engine.ladder.nets import Easy, Small, seeded

EXAMPLES = torch.rand((2, 1, 8, 8), generator=torch.Generator().manual_seed(0))


def planned(model: nn.Module, **changes: Any) -> AuditPlan:
    given: dict[str, Any] = {
        "input_shape": (1, 8, 8),
        "learning_rate": 0.1,
        "batch_size": 8,
        "local_steps": None,
        "local_epochs": 1,
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "loss": None,
        "details": TrainingDetails(),
        "uploads": "weights",
        "mode": "train",
        "normalisation": None,
        "value_range": (0.0, 1.0),
        "truth": None,
        "public": None,
        "defenses": (),
        "attack": "best",
        "evaluations": None,
        "rounds": (1,),
        "clients": 1,
        "time_limit_s": 60.0,
        "seed": 0,
    }
    return plan_of(model=model, **{**given, **changes})


def test_each_rung_changes_one_thing() -> None:
    model = nn.Sequential(nn.Dropout(0.1), seeded(Small))
    details = TrainingDetails("cosine", 1.0, 0.1, ("flip",))
    steps = settings_of(planned(model, details=details), EXAMPLES, 20)
    words = [setting.words() for _, setting in steps]
    for before, after in itertools.pairwise(words):
        assert sum(before[k] != after[k] for k in before) == 1, (before, after)
    assert words[-1] == {
        "batch size": "8",
        "local steps": "3 (1 epoch)",
        "optimizer": "sgd momentum 0.9",
        "upload": "weights",
        "mode": "train",
        "activation": "own",
        "pooling": "own",
        "training": "its schedule of the learning rate (cosine), gradients clipped to the norm 1, "
        "FedProx's term of weight 0.1, pictures changed at random (flip)",
    }
    assert steps[-1][1].details == details


def test_what_a_model_lacks_has_no_rung() -> None:
    plan = planned(
        seeded(Easy), batch_size=1, local_epochs=None, optimizer="sgd", uploads="gradients"
    )
    [(said, setting)] = settings_of(plan, EXAMPLES, 1)
    assert "GELU" not in said
    assert setting.examples == setting.steps == 1
