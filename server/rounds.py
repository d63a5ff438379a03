"""Attacker over rounds: all attacked rounds of a client whose batch is the same in each."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fedsim.attacks import GradientMatching, Observation
from fedsim.attacks.rounds import over_rounds
from fedsim.core.errors import FedsimError
from fedsim.core.names import OVER_ROUNDS
from fedsim.scenario import Federation
from fedsim.server.victims import Victim


@dataclass(frozen=True, eq=False)
class _Seen:
    """One attacked upload, and the weights that it answers."""

    weights: Mapping[str, Tensor]
    observation: Observation


class RoundsTogether:
    """Collects the attacked rounds, and returns the victims of the attacker over rounds.

    Args:
        federation: batch size and local steps.
        architecture: the model, with any weights.
        sizes: number of examples of each client; only clients whose batch is all of them use the
            same batch in each round.
        last: the last attacked round; 0 if rounds are not combined.
        device: device of the attacks.
    """

    def __init__(
        self,
        federation: Federation,
        architecture: nn.Module,
        sizes: Sequence[int],
        last: int,
        device: torch.device,
    ) -> None:
        self._architecture, self._device = architecture, device
        self._repeats = {p for p, size in enumerate(sizes) if size == federation.batch_size}
        self._last = last if federation.local_steps == 1 else 0
        self._seen: dict[int, dict[int, _Seen]] = {}
        self._latest: dict[int, Victim] = {}

    def after(
        self, server_round: int, victims: Sequence[Victim], weights: Mapping[str, Tensor]
    ) -> list[tuple[Victim, nn.Module]]:
        """Add a round's victims; after the last one, return those over rounds with their models.

        Args:
            server_round: the round.
            victims: its victims, the adaptive attacker's after the naive one's.
            weights: weights of the global model that the clients received.
        """
        if not self._last:
            return []
        for victim in victims:
            if (partition := victim.partition) in self._repeats and partition is not None:
                self._latest[partition] = victim
                if victim.observation is not None:
                    rounds = self._seen.setdefault(partition, {})
                    rounds[server_round] = _Seen(weights, victim.observation)
        if server_round < self._last:
            return []
        several = sorted(p for p, rounds in self._seen.items() if len(rounds) > 1)
        return [self._victim(server_round, partition) for partition in several]

    def _victim(self, server_round: int, partition: int) -> tuple[Victim, nn.Module]:
        """Return a client's victim over its rounds, under the attack of the latest one."""
        seen = list(self._seen[partition].values())
        latest = self._latest[partition]
        victim = replace(latest, server_round=server_round, attacker=OVER_ROUNDS)
        models = [self._model(each.weights) for each in seen]
        if latest.observation is None:  # the attack could not be adapted
            return victim, models[-1]
        if not isinstance(latest.attack, GradientMatching):
            problem = "several rounds are attacked by gradient matching only"
            return replace(victim, observation=None, problem=problem), models[-1]
        try:
            joint, observation = over_rounds(models, [each.observation for each in seen])
        except FedsimError as error:
            return replace(victim, observation=None, problem=str(error)), models[-1]
        return replace(victim, observation=observation), joint.to(self._device)

    def _model(self, weights: Mapping[str, Tensor]) -> nn.Module:
        model = copy.deepcopy(self._architecture)
        model.load_state_dict(dict(weights))
        return model.train()
