"""Check of names and shapes of a received model."""

from __future__ import annotations

from fedsim.clients.defenses.checking import Check, Finding, Received
from fedsim.core.registry import DEFENSES

MOST_NAMED = 3


@DEFENSES.register("architecture-drift")
class ArchitectureDrift(Check):
    """Check that a received model has the names and shapes of the client's own model.

    It notices inserted, missing and resized layers. A client that takes its model's code from the
    server has no model of its own to compare with.
    """

    def examine(self, received: Received) -> Finding:
        """Compare; reports ``differing``, the number of tensors that differ."""
        found = {name: tuple(x.shape) for name, x in received.weights.items()}
        expected = dict(received.expected)
        differing = sorted(n for n in found.keys() | expected if found.get(n) != expected.get(n))
        measures = {"differing": float(len(differing))}
        if not differing:
            return Finding(None, measures)
        named = ", ".join(differing[:MOST_NAMED]) + (", ..." if len(differing) > MOST_NAMED else "")
        return Finding(f"another architecture than agreed: {named}", measures)
