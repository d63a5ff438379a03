"""Uploads of canaries: worst-case private data, through the code of an honest client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedsim.clients.defenses import (
    DefendedSteps,
    Defense,
    Mechanism,
    Private,
    defense_generator,
    protect,
)
from fedsim.clients.training import Batch, differentiate, gradient, local_training
from fedsim.core.seeds import derive
from fedsim.data import IndexArray, draw_batch, draw_epochs

Array = npt.NDArray[np.float64]
Secrets = npt.NDArray[np.int64]

_RATE = 1e-6
"""Learning rate of local steps: the noise of one must not saturate the softmax of the next."""


@dataclass(frozen=True)
class Client:
    """A client of canaries.

    The model is a softmax over two classes on as many inputs as the client has examples. Each
    canary has an input of its own, so its gradient is orthogonal to all others; the other label
    gives the opposite gradient, and both are longer than any norm. One label in place of the other
    is then a replaced example with the largest effect. If the whole client is the unit, all of its
    examples share one input and one label.

    Attributes:
        defenses: the chain under audit.
        mechanism: the mechanism that it claims.
        population, batch_size, local_steps: as in the federation.
        sends_gradient: whether it uploads a gradient, and not its weights after local steps.
        local_epochs: as in the federation.
    """

    defenses: tuple[Defense, ...]
    mechanism: Mechanism
    population: int
    batch_size: int
    local_steps: int = 1
    sends_gradient: bool = True
    local_epochs: int | None = None

    @property
    def canaries(self) -> int:
        """Number of canaries, each with a secret of its own."""
        return self.population if self.mechanism.unit == "example" else 1

    def observe(self, secrets: Secrets, rounds: int, seed: int) -> Array:
        """Return the part of uploads along each canary, ``(rounds, canaries)``.

        The unit is one canary's contribution: +1 for the secret 0 and -1 for the secret 1, for a
        canary that is part of the upload, and noise of the mechanism's multiplier.

        Args:
            secrets: ``(canaries,)`` the labels, 0 or 1.
            rounds: number of uploads, all of the same model: the server chooses it.
            seed: seed of the batches and the noise.
        """
        states: list[Mapping[str, Tensor]] = []
        found = []
        for server_round in range(1, rounds + 1):
            upload, states = self._upload(secrets, server_round, seed, states)
            weight = upload["weight"].double().numpy()
            found.append((weight[1] - weight[0]) / np.sqrt(2))
        scale = self.batch_size if self.mechanism.unit == "example" else 1
        return np.stack(found) * scale / self.mechanism.norm

    def _upload(
        self,
        secrets: Secrets,
        server_round: int,
        seed: int,
        states: list[Mapping[str, Tensor]],
    ) -> tuple[Mapping[str, Tensor], list[Mapping[str, Tensor]]]:
        """Return one defended upload, as a gradient, and the states of the defenses after it."""
        model = nn.Linear(self.canaries, 2, bias=False)
        nn.init.zeros_(model.weight)
        chance = defense_generator(seed, 0, server_round, "defended steps")
        batches = self._batches(secrets, server_round, seed)
        private = Private(lambda count: batches[0], 2, model)
        steps = DefendedSteps(self.defenses, private, chance, differentiate)
        defended = [steps.protect(batch) for batch in batches]
        if self.sends_gradient:
            sent = gradient(model, defended[0], steps.compute).arrays
        else:
            # The model was zero: its weights are the update.
            sent = local_training(model, defended, self._rate, steps.compute).arrays
        done = protect(self.defenses, sent, defense_generator(seed, 0, server_round), tuple(states))
        # An update clipped as a whole is bounded itself, a clipped gradient through the rate.
        whole = self.sends_gradient or self.mechanism.unit == "client"
        per = 1.0 if whole else self._rate
        sign = 1.0 if self.sends_gradient else -1.0
        return {k: sign * x / per for k, x in done.tensors.items()}, list(done.states)

    @property
    def _rate(self) -> float:
        return _RATE if self.mechanism.unit == "example" else 1.0

    def _batches(self, secrets: Secrets, server_round: int, seed: int) -> list[Batch]:
        drawn = self._drawn(server_round, seed)
        bright = max(1e4, 100 * self.mechanism.norm)
        batches = []
        for own in (step % self.canaries for step in drawn):
            inputs = torch.zeros(len(own), self.canaries)
            inputs[torch.arange(len(own)), torch.from_numpy(own)] = bright
            batches.append((inputs, torch.from_numpy(secrets[own])))
        return batches

    def _drawn(self, server_round: int, seed: int) -> list[IndexArray]:
        """Return the examples of each local step, drawn as by a client of a run."""
        own = np.arange(self.population)
        where = {"seed": seed, "server_round": server_round, "partition": 0}
        if self.local_epochs is not None:
            return draw_epochs(own, self.batch_size, epochs=self.local_epochs, **where)
        return list(draw_batch(own, self.batch_size, local_steps=self.local_steps, **where))


def repetition(seed: int, number: int) -> int:
    """Return the seed of one repetition of an audit."""
    return derive(seed, "audit", number)
