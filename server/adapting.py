"""Adaptive attacker, which knows the model and each client's defenses."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fedsim.attacks import Attack, GradientMatching
from fedsim.attacks.adaptive import (
    Countermeasure,
    Known,
    adapt,
    adapt_to_sum,
    countermeasures_of,
)
from fedsim.data import Examples
from fedsim.scenario import Scenario

MOST_SHOWN = 500
"""Maximum number of public images that an attack gets."""

MOST_NUMBERS = 4096
"""Maximum number of numbers in one of them."""

MAX_PUBLIC_IMAGES = 2000
"""Maximum number of public images in memory, which suffice to learn a prior."""


@dataclass(frozen=True, eq=False)
class Adapting:
    """Adapts an attack to the clients' defenses.

    Attributes:
        scenario: the scenario, with the defenses of each client, the model and the federation.
        attack: the naive attack.
        public: public examples, to learn priors from.
        unit: function from the size of a client's data to gradient units per unit of its upload.
        device: device of the attack.
        sizes: size of each client's data, which is public.
    """

    scenario: Scenario
    attack: Attack
    public: Examples
    unit: Callable[[int], float]
    device: torch.device
    sizes: Sequence[int] = ()

    def known(self, model: nn.Module, gradient: Mapping[str, Tensor]) -> Known:
        """Return the attacker's public knowledge in a round.

        Args:
            model: the global model of the round.
            gradient: undefended gradient of public examples at that model.
        """
        federation = self.scenario.federation
        images, labels = self._public_pictures
        known = Known(
            public=images,
            public_labels=labels,
            model=model,
            upload=federation.upload,
            batch_size=federation.batch_size,
        )
        coordinates = sum(g.numel() for g in gradient.values())
        squares = sum(float(g.double().square().sum()) for g in gradient.values())
        size = math.sqrt(squares / coordinates)
        known = replace(known, coordinates=coordinates)
        return replace(known, gradient_rms=size) if 0 < size < math.inf else known

    def adapted(self, partitions: Sequence[int], known: Known) -> Attack | None:
        """Return the attack on a client's upload, or on the mean of several clients' uploads.

        None if no defense has a countermeasure, or if those of several clients do not add up.

        Args:
            partitions: the clients.
            known: see `Adapting.known`.

        Raises:
            AttackError: the knowledge is insufficient for a countermeasure.
        """
        attack = self.attack.against_defenses()
        if not isinstance(attack, GradientMatching):
            return None
        chains = [self._countermeasures(partition) for partition in partitions]
        known = self.of_clients(partitions, known)
        if len(chains) == 1:
            adapted: Attack | None = adapt(attack, chains[0], known)
        else:
            adapted = adapt_to_sum(attack, chains, replace(known, clients=len(chains)))
        return None if adapted is attack else adapted

    def kinds(self, clients: Sequence[Sequence[int]]) -> int:
        """Return the number of different defenses, of which each has an adaptive attack at most.

        Args:
            clients: the clients behind each upload.
        """
        described = self.scenario.describe_defenses
        defended = [ps for ps in clients if any(self._countermeasures(p) for p in ps)]
        return len({repr([described(p) for p in partitions]) for partitions in defended})

    def of_clients(self, partitions: Sequence[int], known: Known) -> Known:
        """Return the knowledge of a round with what depends on the size of the clients' data."""
        examples = max((self.sizes[p] for p in partitions if p < len(self.sizes)), default=1)
        steps = self.scenario.federation.steps_of(examples)
        return replace(known, unit=self.unit(examples), local_steps=steps)

    def _countermeasures(self, partition: int) -> list[Countermeasure]:
        defenses = self.scenario.describe_defenses(partition)
        return countermeasures_of([self.scenario.describe_model(), *defenses])

    @functools.cached_property
    def _public_pictures(self) -> tuple[Tensor | None, Tensor | None]:
        """Public images to learn from, ``(N, C, H, W)`` in [0, 1], and their classes, or None."""
        samples = self.public.samples(MAX_PUBLIC_IMAGES)
        if samples is None:
            return None, None
        images, labels = samples
        return images.to(self.device), labels.to(self.device)


def informed(attack: Attack, public: Examples) -> Attack:
    """Return a copy of an attack that uses public texts or pictures, if it can."""
    attack = attack.with_public_texts(public.rows())
    one = public.samples(1)
    if one is None or one[0].numel() > MOST_NUMBERS:
        return attack
    samples = public.samples(MOST_SHOWN)
    return attack if samples is None else attack.with_public_pictures(samples[0])
