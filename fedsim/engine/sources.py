"""Documentation of the named parts of a scenario."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from fedsim.core.registry import (
    AGGREGATIONS,
    ATTACKS,
    AUGMENTATIONS,
    COUNTERMEASURES,
    DATASETS,
    DEFENSES,
    LOSSES,
    MANIPULATIONS,
    MODELS,
    OPTIMIZERS,
    PARTITIONS,
    SCHEDULES,
    Registry,
)
from fedsim.log.schema import Source
from fedsim.scenario import Scenario


def sources(scenario: Scenario) -> tuple[Source, ...]:
    """Return the registry, name and docstring of each named part, for readers without torch."""
    found = {(r.kind, name): _documented(r, name) for r, name in _named(scenario)}
    return tuple(Source(kind=k, name=name, text=text) for (k, name), text in found.items())


def _named(scenario: Scenario) -> Iterator[tuple[Registry, str]]:
    plan = scenario.adversary
    if plan is not None:
        yield ATTACKS, ATTACKS.name_of(plan.attack)
        if plan.malicious is not None:
            yield MANIPULATIONS, MANIPULATIONS.name_of(plan.malicious)
    defenses = [DEFENSES.name_of(d) for group in scenario.clients for d in group.defenses]
    for name in defenses:
        yield DEFENSES, name
    model = MODELS.name_of(scenario.model)
    if plan is not None and plan.adaptive:
        for name in (*defenses, model):
            if name in COUNTERMEASURES.names():
                yield COUNTERMEASURES, name
    yield MODELS, model
    for holders in scenario.holders():
        yield DATASETS, DATASETS.name_of(holders.dataset)
        yield PARTITIONS, PARTITIONS.name_of(holders.partition)
    yield AGGREGATIONS, AGGREGATIONS.name_of(scenario.federation.aggregation)
    yield LOSSES, LOSSES.name_of(scenario.federation.loss)
    yield SCHEDULES, SCHEDULES.name_of(scenario.federation.schedule)
    for augmentation in scenario.federation.augmentations:
        yield AUGMENTATIONS, AUGMENTATIONS.name_of(augmentation)
    yield OPTIMIZERS, OPTIMIZERS.name_of(scenario.federation.optimizer)


def _documented(registry: Registry, name: str) -> str:
    cls: type[Any] = registry.get(name)
    return inspect.getdoc(cls) or ""
