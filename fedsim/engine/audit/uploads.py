"""Uploads of an audited app, completed by the assumptions of the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from fedsim.engine.audit.plan import AuditPlan
from fedsim.server.uploads import Upload

EXAMPLES_KEY = "num-examples"


def complete(upload: Upload, plan: AuditPlan) -> Upload:
    """Return an upload with a number of examples, which some clients do not report."""
    said = upload.metrics.get(EXAMPLES_KEY)
    if upload.problem is not None or (said is not None and said > 0 and said == int(said)):
        return upload
    taken = float(plan.batch_size * (plan.local_steps or 1))
    return replace(upload, metrics={**upload.metrics, EXAMPLES_KEY: taken})


def frozen_names(
    architecture: nn.Module,
    uploads: Sequence[Mapping[str, Tensor]],
    sent: Mapping[str, Tensor],
    plan: AuditPlan,
) -> tuple[list[str], list[str]]:
    """Return the trainable parameters that uploads leave out, and those that no client changed.

    Args:
        architecture: the model.
        uploads: the tensors of a round's usable uploads.
        sent: the model that was sent, by name.
        plan: the plan of the audit.
    """
    names = [name for name, p in architecture.named_parameters() if p.requires_grad]
    if not uploads:
        return [], []
    missing = [name for name in names if not all(name in arrays for arrays in uploads)]
    still = [
        name
        for name in names
        if name not in missing and not any(_moved(name, arrays, sent, plan) for arrays in uploads)
    ]
    return missing, still


def _moved(
    name: str, arrays: Mapping[str, Tensor], sent: Mapping[str, Tensor], plan: AuditPlan
) -> bool:
    new = arrays[name]
    if plan.uploads == "gradients" or name not in sent:
        return bool((new != 0).any())
    changed = (new - sent[name].to(new.dtype)).abs()
    step = 0.0 if plan.aggregation is None else plan.aggregation.resolution
    return bool((changed > step).any())  # a secure aggregation rounds frozen tensors too
