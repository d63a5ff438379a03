"""Choice of the uploads to attack, and of the clients that are followed over rounds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property

from fedsim.core.seeds import derive
from fedsim.scenario import AdversaryPlan, Scenario
from fedsim.server.uploads import Sum, Upload


class Choosing:
    """Chooses uploads by the plan and the seed, never by what is in them.

    Args:
        scenario: the scenario, with the groups of its clients.
        plan: the adversary section of the scenario.
    """

    def __init__(self, scenario: Scenario, plan: AdversaryPlan) -> None:
        self._scenario, self._plan = scenario, plan

    def chosen(self, server_round: int, uploads: Sequence[Upload | Sum]) -> list[Upload | Sum]:
        """Return the uploads of a round that are attacked, including unusable ones.

        With a maximum number of victims, others are drawn in each round. An attacker over rounds
        attacks the same clients again, as far as they take part.
        """
        chosen, most = self._of_victims(uploads), self._plan.per_round
        if most is not None and len(chosen) > most:
            if self._plan.rounds_together:
                chosen = sorted(chosen, key=self._rank)[:most]
            else:
                seed = derive(self._scenario.seed, "victims", server_round)
                chosen = random.Random(seed).sample(chosen, most)  # noqa: S311
        return sorted(chosen, key=lambda u: u.partitions)

    def followed(self, uploads: Sequence[Upload | Sum]) -> list[Upload | Sum]:
        """Return the uploads of a round that belong to clients who are followed over rounds."""
        most = self._plan.per_round
        own = self._of_victims(uploads)
        return [u for u in own if most is None or isinstance(u, Sum) or self._rank(u) < most]

    def _of_victims(self, uploads: Sequence[Upload | Sum]) -> list[Upload | Sum]:
        return [u for u in uploads if any(map(self._is_victim, u.partitions))]

    def _is_victim(self, partition: int) -> bool:
        group = self._scenario.group_of(partition).name
        return self._plan.victims == "all" or group in self._plan.victims

    def _rank(self, upload: Upload | Sum) -> int:
        return min(self._order[p] for p in upload.partitions if p in self._order)

    @cached_property
    def _order(self) -> dict[int, int]:
        """Place of each client that may be attacked in an order that is the same in all rounds."""
        clients = [p for p in range(self._scenario.num_clients) if self._is_victim(p)]
        random.Random(derive(self._scenario.seed, "victims")).shuffle(clients)  # noqa: S311
        return {client: place for place, client in enumerate(clients)}
