"""Invented clients: a secure sum of one real upload and of what the server knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.core.registry import MANIPULATIONS
from fedsim.server.malicious.base import Changed, Public
from fedsim.server.malicious.isolating import Isolating, Isolation, Mixture, one_of


@MANIPULATIONS.register("invented-clients")
class InventedClients(Isolating):
    """Invented clients: the server asks one client and plays all others of the protocol itself.

    A client cannot tell by the protocol who the others are. With no invented client the server asks
    one client alone, with a threshold of one, which Flower's client accepts (1.41). Under CKKS it
    asks for the decryption of one upload.
    """

    readout: ClassVar[str] = "best"

    count: Annotated[
        int,
        Field(ge=0, le=1000, examples=[4], description="invented clients; 0 asks one client alone"),
    ] = 4

    @property
    def letter(self) -> str:
        """H: the server selects the clients."""
        return "H"

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the honest model."""
        what = f"asked one client and played {self.count} others itself"
        if self.count == 0:
            what = "asked one client alone, with a threshold of one,"
        return Changed(model, what, (), None)

    def isolate(
        self,
        changed: Changed,
        victims: Sequence[int],
        cohort: Sequence[int],
        public: Public,
        generator: torch.Generator,
    ) -> Isolation:
        """Return the honest model for one client; no other is asked."""
        victim = one_of(victims, generator)
        return Isolation(
            (victim,), {victim: changed.model}, partial(_alone, victim), invented=self.count
        )


def _alone(victim: int, mixture: Mixture) -> Mapping[int, Mapping[str, Tensor]]:
    """Return the mean as the upload of the only client in it; nothing if it dropped out."""
    return {victim: mixture.changes} if victim in mixture.examples else {}
