"""Attacker over rounds: all rounds of clients whose batch is the same in each."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fedsim.attacks import Attack, GradientMatching, Observation
from fedsim.attacks.adaptive import Known
from fedsim.attacks.rounds import together
from fedsim.core.errors import AttackError, FedsimError
from fedsim.core.names import OVER_ROUNDS
from fedsim.scenario import AdversaryPlan, Federation
from fedsim.server.adapting import Adapting
from fedsim.server.victims import Victim

_SUM = ()
"""Key of the sums over changing cohorts; that of a client is its partition alone."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """One upload, or sum of uploads, and the weights that it answers."""

    weights: Mapping[str, Tensor]
    victim: Victim
    observation: Observation


class RoundsTogether:
    """Collects the rounds up to the last attacked one, and returns the victims over rounds.

    Args:
        plan: the adversary section of the scenario.
        federation: batch size, rounds and local steps.
        architecture: the model, with any weights.
        sizes: number of examples of each client; only clients whose batch is all of them use the
            same batch in each round.
        adapting: adapts the attack to a client's defenses.
        device: device of the attacks.
    """

    def __init__(
        self,
        plan: AdversaryPlan,
        federation: Federation,
        architecture: nn.Module,
        sizes: Sequence[int],
        adapting: Adapting,
        device: torch.device,
    ) -> None:
        self._architecture, self._adapting, self._device = architecture, adapting, device
        self._repeats = {p for p, size in enumerate(sizes) if size == federation.batch_size}
        self._batch_size = federation.batch_size
        attacked = [r for r in range(1, federation.rounds + 1) if plan.attacks(r)]
        combines = plan.rounds_together and federation.takes_one_step
        self._last = max(attacked, default=0) if combines else 0
        self._seen: dict[tuple[int, ...], dict[int, _Seen]] = {}
        self._unusable: set[tuple[int, ...]] = set()

    def follows(self, server_round: int) -> bool:
        """Return whether the uploads of a round are needed, attacked on their own or not."""
        return server_round <= self._last

    def after(
        self,
        server_round: int,
        victims: Sequence[Victim],
        weights: Mapping[str, Tensor],
        known: Known | None = None,
    ) -> list[tuple[Victim, nn.Module]]:
        """Add a round's victims; after the last one, return those over rounds with their models.

        Args:
            server_round: the round.
            victims: its victims of the clients that are followed, all of whose uploads must be
                among them, the adaptive attacker's after the naive one's.
            weights: weights of the global model that the clients received.
            known: the adaptive attacker's knowledge; None if there is none.
        """
        if not self._last:
            return []
        for victim in victims:
            if victim.is_control or not self._repeats.issuperset(victim.partitions):
                continue
            key = _SUM if victim.is_sum else victim.partitions
            if victim.observation is None:
                self._unusable.add(key)
                continue
            rounds = self._seen.setdefault(key, {})
            rounds[server_round] = _Seen(weights, victim, victim.observation)
        if server_round < self._last:
            return []
        several = sorted(key for key, rounds in self._seen.items() if len(rounds) > 1)
        return [self._victim(server_round, key, known) for key in several]

    def _victim(
        self, server_round: int, key: tuple[int, ...], known: Known | None
    ) -> tuple[Victim, nn.Module]:
        """Return the victim of a client, or of the sums, over its rounds."""
        rounds, seen = zip(*self._seen[key].items(), strict=True)
        clients = tuple(sorted({p for each in seen for p in each.victim.partitions}))
        victim = replace(
            seen[-1].victim,
            server_round=server_round,
            partitions=clients,
            attacker=OVER_ROUNDS,
            rounds=rounds,
        )
        models = [self._model(each.weights) for each in seen]
        try:
            attack = self._attack(key, seen, known)
            members = [self._members(clients, each) for each in seen] if key == _SUM else None
            attack, joint, observation = together(
                attack, models, [each.observation for each in seen], members
            )
        except FedsimError as error:
            return replace(victim, observation=None, problem=str(error)), models[-1]
        return replace(victim, attack=attack, observation=observation), joint.to(self._device)

    def _attack(
        self, key: tuple[int, ...], seen: Sequence[_Seen], known: Known | None
    ) -> GradientMatching:
        """Return the attack on each of the rounds.

        Raises:
            AttackError: there is no such attack.
        """
        attack: Attack = seen[-1].victim.attack
        if key == _SUM:
            if any(each.victim.attack != attack for each in seen):
                raise AttackError("the defenses behind the sums differ between the rounds")
        elif known is not None and key not in self._unusable:
            attack = self._adapting.adapted(key, replace(known, uploads=len(seen))) or attack
        if not isinstance(attack, GradientMatching):
            raise AttackError("several rounds are attacked by gradient matching only")
        return attack

    def _members(self, clients: Sequence[int], seen: _Seen) -> list[int]:
        """Return the positions of a sum's examples among those of all clients."""
        starts = [self._batch_size * clients.index(p) for p in seen.victim.partitions]
        return [start + i for start in starts for i in range(self._batch_size)]

    def _model(self, weights: Mapping[str, Tensor]) -> nn.Module:
        model = copy.deepcopy(self._architecture)
        model.load_state_dict(dict(weights))
        return model.train()
