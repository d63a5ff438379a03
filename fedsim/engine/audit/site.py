"""The clients of an audited app, as the recorder and the scorer see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedsim.clients.site import Site
from fedsim.core.errors import RunError
from fedsim.data import IndexArray
from fedsim.engine.audit.examples import as_targets, pictures
from fedsim.engine.audit.kept import KeptBatches
from fedsim.engine.audit.plan import AuditPlan

OUTSIDE = 0.01
"""Distance from [0, 1] at which private data are said to leave it."""

Said = Callable[[str, int | None, int | None], None]
"""``(text, round, partition)``: adds a remark to the log."""


@dataclass(frozen=True, eq=False)
class AppSite(Site):
    """An audited app, whose private batches come from its auditor's ``truth``.

    Attributes:
        plan: the plan of the audit.
        said: adds a remark to the log.
        nodes: the node of each partition.
    """

    plan: AuditPlan
    said: Said
    nodes: Mapping[int, int]
    _known: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def knows(self, partition: int, server_round: int) -> bool:
        """Return whether the auditor gave a client's examples of a round; a failure is said."""
        if self.plan.truth is None:
            return False
        try:
            self.different(partition, server_round)
        except Exception as error:  # of the auditor's function
            reason = f"the truth is unknown: {type(error).__name__}: {error}"
            self.said(reason, server_round, partition)
            return False
        return True

    def different(self, partition: int, server_round: int) -> list[tuple[Tensor, Tensor]]:
        """Return a client's private examples of a round as pictures in [0, 1], and their labels.

        Raises:
            RunError: the truth is unknown, or is not of the model's form.
        """
        key = (partition, server_round)
        if key not in self._known:
            self._known[key] = self._read(partition, server_round)
        return [self._known[key]]

    def drawn(self, partition: int, server_round: int) -> list[IndexArray]:
        """Return the indices of all examples of a client, as those of one step.

        An app does not tell which of them it uses in a round. With all of them in each round, an
        example of several rounds is never called protected by an attack on one.
        """
        return [self.partitions[partition]]

    def _read(self, partition: int, server_round: int) -> tuple[Tensor, Tensor]:
        if self.plan.truth is None:
            raise RunError("the private examples are unknown")
        truth = self.plan.truth
        if isinstance(truth, KeptBatches):
            inputs, labels = truth.read(self.nodes[partition], server_round)
        else:
            inputs, labels = truth(partition, server_round)
        shown = pictures(torch.as_tensor(inputs), self.plan.input_shape, self.plan.assumed)
        low, high = float(shown.min()), float(shown.max())
        if low < -OUTSIDE or high > 1 + OUTSIDE:
            self.said(
                f"the private data lie between {low:.2f} and {high:.2f} where the attack searches "
                "in [0, 1]: state how the client normalises them (normalisation=(mean, std)), or "
                "their range (value_range=(low, high))",
                server_round,
                partition,
            )
        targets = torch.as_tensor(labels).detach().cpu()
        return shown.clamp(0, 1), as_targets(targets)
