"""Sums of an audited app's secure aggregation, as its audit takes them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fedsim.engine.audit.uploads import EXAMPLES_KEY
from fedsim.server.secure.foreign import DROPPED, AppSum
from fedsim.server.uploads import Sum, Upload


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
