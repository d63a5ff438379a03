"""Check that other clients received the same model."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from fedsim.clients.defenses.checking import Check, Finding, Received
from fedsim.core.agreement import model_digest
from fedsim.core.registry import DEFENSES

MOST_NAMED = 6


@DEFENSES.register("model-agreement")
class ModelAgreement(Check):
    """Check that other clients of the round received the same model, bit for bit.

    Against inconsistent models under secure aggregation (Pasquini et al., arXiv 2111.07380). Each
    client announces a hash, with a tag under a key that the server does not know, and the server
    relays them. A client announces one model a round, and trains on no other. The check notices
    different models, invented clients, which have no tag, and a server that asks one client alone;
    not a change that all clients receive, clients who gave the server the key, or a server that
    tells clients of one sum different numbers of the round. A client that lies stops the round for
    all.
    """

    needs_others: ClassVar[bool] = True

    least: Annotated[
        int, Field(ge=1, description="other clients that must have received the same model")
    ] = 2

    def examine(self, received: Received) -> Finding:
        """Compare; reports ``others`` that vouch for their model, and those ``differing``."""
        own = model_digest(received.weights)
        others = received.others or {}
        differing = sorted(client for client, digest in others.items() if digest != own)
        measures = {"others": float(len(others)), "differing": float(len(differing))}
        if received.announced != own:
            return Finding("this is not the model that this client was asked to announce", measures)
        if differing:
            named = ", ".join(map(str, differing[:MOST_NAMED]))
            more = ", ..." if len(differing) > MOST_NAMED else ""
            return Finding(f"clients {named}{more} received another model", measures)
        if len(others) < self.least:
            return Finding(
                f"{len(others)} other clients vouch for having received this model: expected at "
                f"least {self.least}",
                measures,
            )
        return Finding(None, measures)
