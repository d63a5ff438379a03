"""Differences between a watched training and what the auditor stated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedsim.engine.audit.details import CROSS_ENTROPY, L2, loss_in, named_loss
from fedsim.engine.audit.kept import optimizer_in, optimizer_of
from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.audit.site import AppSite
from fedsim.models.losses import CrossEntropy

CLOSE = 1e-5
"""Relative difference of numbers that an app may have computed in another order."""


def differences(
    facts: Mapping[str, Any], site: AppSite, partition: int, server_round: int
) -> Iterator[str]:
    """Yield the differences between a watched training and what the auditor stated.

    Args:
        facts: facts of the training (`fedsim.AuditMod`).
        site: the audited app.
        partition: the client.
        server_round: the round.
    """
    plan, federation = site.plan, site.scenario.federation
    examples = len(site.partitions[partition])
    # A client of whole passes may have less than a batch.
    most = plan.batch_size if plan.local_epochs is None else examples
    stated = {
        "batch size": (facts.get("batch_size"), min(plan.batch_size, most)),
        "number of local steps": (facts.get("steps"), federation.steps_of(examples)),
        "mode of the layers": (
            facts.get("mode"),
            "train" if plan.architecture.training else "eval",
        ),
        "weight of FedProx's term": (facts.get("proximal_mu"), federation.proximal_mu),
    }
    yield from _rates(
        facts,
        [plan.learning_rate * f for f in federation.rate_factors(server_round, examples)],
    )
    for name, (found, said) in stated.items():
        if found is not None and found != said:
            yield f"the client trained with another {name} than stated: {found}, not {said}"
    table = optimizer_in(facts)
    if table is None:
        yield f"the client trained with {facts['optimiser']}, which no attack follows"
    elif optimizer_of(table) != federation.optimizer:
        said = ", ".join(f"{k} {v}" for k, v in table.items() if k != "name" and v)
        given = f"{table['name']} ({said})" if said else table["name"]
        yield f"the client trained with another optimizer than stated: {given}"
    yield from _clipping(facts, plan)
    yield from _loss(facts, plan)
    if "dropout" in facts:
        yield (
            f"dropout of probability {facts['dropout']:g} drew in the client's training, which no "
            "attacker knows: the attack's equations are an approximation"
        )


def _rates(facts: Mapping[str, Any], stated: Sequence[float]) -> Iterator[str]:
    found = facts.get("rates")
    if found is None and facts.get("lr") is not None:
        found = [facts["lr"]] * len(stated)
    if found is None or (len(found) == len(stated) and all(map(_close, found, stated))):
        return
    constant = len({*found}) == len({*stated}) == 1
    kind = "learning rate" if constant else "schedule of the learning rate"
    own, said = (_listed(rates[:1] if constant else rates) for rates in (found, stated))
    yield f"the client trained with another {kind} than stated: {own}, not {said}"


def _clipping(facts: Mapping[str, Any], plan: AuditPlan) -> Iterator[str]:
    found, stated = facts.get("max_grad_norm"), plan.details.max_grad_norm
    if found is not None and facts["norm_type"] != L2:
        yield (
            f"the client clips gradients by a norm of kind {facts['norm_type']:g}, which no attack "
            "follows"
        )
    elif found is not None and (stated is None or not _close(found, stated)):
        said = "no clipping" if stated is None else f"{stated:g}"
        yield f"the client clips gradients to another norm than stated: {found:g}, not {said}"


def _loss(facts: Mapping[str, Any], plan: AuditPlan) -> Iterator[str]:
    stated = plan.named_loss or named_loss(CROSS_ENTROPY)
    by_name = plan.named_loss is not None or plan.loss == CROSS_ENTROPY
    table = loss_in(facts)
    if table is None or not by_name or not isinstance(stated, CrossEntropy):
        return
    smoothing, weights = table.get("smoothing", 0.0), table.get("weights")
    if not _close(smoothing, stated.smoothing):
        yield (
            f"the client trained with another label smoothing than stated: {smoothing:g}, not "
            f"{stated.smoothing:g}"
        )
    if not _alike(weights, stated.weights):
        yield (
            "the client trained with other class weights than stated: "
            f"{_listed(weights)}, not {_listed(stated.weights)}"
        )


def _alike(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return len(one) == len(other) and all(map(_close, one, other))


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-12)


def _listed(numbers: Sequence[float] | None) -> str:
    if numbers is None:
        return "none"
    shown = ", ".join(f"{n:g}" for n in numbers[:5])
    return shown + (", ..." if len(numbers) > 5 else "")
