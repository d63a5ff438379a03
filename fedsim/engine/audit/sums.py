"""Sums of an audited app's secure aggregation, as its audit takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.audit.uploads import EXAMPLES_KEY
from fedsim.server.secure.foreign import DROPPED, AppSum
from fedsim.server.uploads import Sum, Upload


def hidden(plan: AuditPlan, total: AppSum) -> AuditPlan:
    """Return the plan of an audit that sees sums alone.

    A sum has one number of local steps: that of clients with a mean number of examples.

    Args:
        plan: the plan as for single uploads.
        total: the first sum.
    """
    if plan.local_epochs is None:
        return replace(plan, aggregation=total.plan)
    mean = round(sum(total.examples.values()) / len(total.examples))
    steps = plan.local_epochs * -(-mean // plan.batch_size)
    return replace(plan, aggregation=total.plan, local_epochs=None, local_steps=steps)


def sum_of(total: AppSum, partitions: Mapping[int, int], mean: Mapping[str, Tensor]) -> Sum:
    """Return the sum of a round, with what is visible of each client.

    Args:
        total: the sum.
        partitions: the partition of each node.
        mean: the mean of the clients' tensors by name.
    """
    size = float(sum(4 * tensor.numel() for tensor in mean.values()))  # uint32 on the wire
    clear = [
        Upload(partitions[node], metrics={EXAMPLES_KEY: float(n), "upload-bytes": size})
        for node, n in total.examples.items()
    ]
    return Sum(
        tuple(sorted(upload.partition for upload in clear)),
        mean,
        sum(total.examples.values()),
        tuple(sorted(clear, key=lambda upload: upload.partition)),
        {partitions[node]: DROPPED for node in total.dropped if node in partitions},
    )
