"""Uploads that stand out of their cohort, as a fault or an attack on the model makes them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from fedsim.server.uploads import Upload

OnNote = Callable[[int | None, int | None, str], None]
"""``(server_round or None, client or None, remark)``."""

FAR = 1000.0
"""Ratio to the cohort's median above which a norm or a value is far out."""
FEWEST = 3
"""Minimum number of uploads whose median can tell which of them is far out."""


def no_note(server_round: int | None, partition: int | None, text: str) -> None:
    """Ignore a remark."""


class StandingOut:
    """Remarks on uploads whose norm is far out of their cohort's.

    The model is trained on them all the same, as FedAvg has it, and may break. Remarks on the
    following rounds then say why other clients' uploads are not finite.

    Args:
        gradients: names of the tensors that are gradients, not values.
        on_note: called with each remark.
    """

    def __init__(self, gradients: Collection[str], on_note: OnNote) -> None:
        self._gradients, self._on_note = frozenset(gradients), on_note
        self._seen: dict[int, tuple[int, float]] = {}

    def remark(
        self, server_round: int, received: Mapping[str, Tensor], uploads: Sequence[Upload]
    ) -> None:
        """Remark on the uploads of a round.

        Args:
            server_round: the round.
            received: the model that the clients received.
            uploads: their uploads, usable or not.
        """
        self._explain(server_round, uploads)
        norms = {
            u.partition: norm_of(u.arrays, received, self._gradients)
            for u in uploads
            if u.problem is None
        }
        if len(norms) < FEWEST:
            return
        median = statistics.median_low(norms.values())
        for partition, norm in norms.items():
            if norm > FAR * median > 0:
                ratio = norm / median
                self._seen.setdefault(partition, (server_round, ratio))
                self._on_note(
                    server_round,
                    partition,
                    f"the norm of the upload is {ratio:.1g} times the cohort's median; it is "
                    "aggregated all the same and may have broken the model: a fault, an attack on "
                    "the training, or much noise",
                )

    def _explain(self, server_round: int, uploads: Sequence[Upload]) -> None:
        """Say whose earlier upload can have made a round's uploads not finite."""
        broken = [u for u in uploads if "NaN or infinite" in (u.problem or "")]
        if not self._seen or 2 * len(broken) < len(uploads):
            return
        causes = [
            f"client {p} in round {r} ({ratio:.1g} times the cohort's median)"
            for p, (r, ratio) in sorted(self._seen.items())
            if r < server_round
        ]
        if causes:
            self._on_note(
                server_round,
                None,
                f"{len(broken)} of {len(uploads)} uploads are not finite; the likely cause is the "
                f"model that these clients received, after the upload of {', '.join(causes)}",
            )


def norm_of(
    arrays: Mapping[str, Tensor], received: Mapping[str, Tensor], gradients: Collection[str]
) -> float:
    """Return the L2 norm of an upload's gradients and changes of values, without counters.

    Args:
        arrays: the tensors of the upload.
        received: the model that it answers.
        gradients: names of the tensors that are gradients, not values.
    """
    total = 0.0
    for name, array in arrays.items():
        if not received[name].is_floating_point():
            continue
        change = array.double() if name in gradients else array.double() - received[name].double()
        size = float(torch.linalg.vector_norm(change))
        if math.isinf(size):  # the squares of finite numbers need not be finite
            largest = float(change.abs().max())
            size = largest * float(torch.linalg.vector_norm(change / largest))
        total = math.hypot(total, size)
    return total


def blame(largest: Mapping[int, float]) -> tuple[int | None, str]:
    """Return the client behind a result that is not finite, or None, and a clause on it.

    Args:
        largest: largest absolute value of each client's upload, by client.
    """
    top = max(largest, key=lambda p: largest[p])
    if len(largest) == 1:
        return top, f"its upload has values up to {largest[top]:.2g}"
    others = statistics.median_low([v for p, v in largest.items() if p != top])
    if largest[top] > FAR * others:
        return top, f"its upload has values up to {largest[top]:.2g}, the others' {others:.2g}"
    values = ", ".join(f"{p}: {v:.2g}" for p, v in sorted(largest.items())[:8])
    return None, f"no upload stands out (largest value by client: {values})"
