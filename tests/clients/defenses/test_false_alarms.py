"""Checks of clients in 1,000 honest rounds over bundled models and data."""

import functools
from collections.abc import Mapping

import pytest
import torch

from fedsim.clients.defenses import (
    ArchitectureDrift,
    DeadUnits,
    LossJump,
    ModelAgreement,
    Received,
    SingleExampleDominance,
    WeightStatistics,
    examined,
)
from fedsim.clients.site import site_of
from fedsim.clients.training import differentiate
from fedsim.core.agreement import model_digest
from tests.fedsim.small import small

CHECKS = tuple(
    check(action="warn")
    for check in (
        ArchitectureDrift,
        WeightStatistics,
        DeadUnits,
        SingleExampleDominance,
        ModelAgreement,
        LossJump,
    )
)
TEXTS = "data.dataset='messages'"
SETTINGS = {
    "mlp-relu": ("model={name='mlp', hidden=[256], activation='relu'}", "federation.batch_size=32"),
    "mlp-sigmoid": ("model={name='mlp', hidden=[256]}", "federation.batch_size=8"),
    "lenet": ("model={name='lenet'}", "federation.batch_size=16"),
    "lenet-by-class": (
        "model={name='lenet'}",
        "federation.batch_size=8",
        "data.partition={name='by-class'}",
    ),
    "convnet": ("model={name='convnet', channels=[8, 16]}", "federation.batch_size=8"),
    "convnet-dense": (
        "model={name='convnet', channels=[8, 16], activation='relu', hidden=[128]}",
        "federation.batch_size=16",
    ),
    "resnet": ("model={name='resnet18'}", "federation.batch_size=4"),
    "vit": ("model={name='vit'}", "federation.batch_size=8"),
    "bert": (TEXTS, "model={name='bert'}", "federation.batch_size=4"),
    "gpt2": (TEXTS, "model={name='gpt2'}", "federation.batch_size=4"),
}
ROUNDS = {
    "mlp-relu": 230,
    "mlp-sigmoid": 230,
    "lenet": 130,
    "lenet-by-class": 130,
    "convnet": 96,
    "convnet-dense": 60,
    "resnet": 10,
    "vit": 54,
    "bert": 40,
    "gpt2": 20,
}
"""1,000 in all."""


@functools.cache
def alarms(name: str) -> tuple[str, ...]:
    """Return the alarms of one client in rounds of honest training."""
    settings = (f"federation.rounds={ROUNDS[name]}", "clients=[{name='a', count=4}]")
    site = site_of(small(*settings, *SETTINGS[name]).to_toml())
    model, expected = site.model(site.architecture.state_dict()), site.architecture.state_dict()
    shapes = {k: tuple(v.shape) for k, v in expected.items()}
    steps = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    named = {k: p for k, p in model.named_parameters() if p.requires_grad}
    found = []
    remembered: dict[int, dict[int, Mapping[str, float]]] = {}
    for server_round in range(1, ROUNDS[name] + 1):
        client = server_round % 4
        batch = site.batches(client, server_round)[0]
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        digest = model_digest(weights)
        received = Received(
            weights,
            shapes,
            model=lambda w=weights: site.model(w),
            batch=lambda b=batch: b,
            others=dict.fromkeys((4, 5), digest),
            announced=digest,
        )
        own = remembered.setdefault(client, {})
        done = examined(CHECKS, received, own)
        own.update(done.kept)
        did = done.did
        found += [
            f"{name}, round {server_round}: {type(check).__name__}"
            for place, check in enumerate(CHECKS)
            if did[place]["flagged"]
        ]
        gradients = differentiate(model, batch).gradients
        for key, parameter in named.items():
            parameter.grad = gradients[key].clone()
        steps.step()
    return tuple(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_raises_hardly_any_alarm(name: str) -> None:
    assert len(alarms(name)) < 5, alarms(name)


@pytest.mark.slow
def test_a_thousand_rounds_raise_fewer_than_five_alarms() -> None:
    assert sum(ROUNDS.values()) == 1000
    found = [alarm for name in SETTINGS for alarm in alarms(name)]
    assert len(found) < 5, found
