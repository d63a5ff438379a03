"""Reconstructions with the gradient withheld: a baseline of an attack's priors alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from fedsim.attacks import Attack, Observation
from fedsim.attacks.types import ShouldStop
from fedsim.server.victims import Victim


class PriorsAlone:
    """The data that each attack's priors prefer, computed once for each attack and batch shape.

    They depend neither on the victim nor on the round.

    Args:
        seed: seed of the random start.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._found: list[tuple[Attack, tuple[int, ...], Tensor | None]] = []

    def alone(self, victim: Victim, model: nn.Module, should_stop: ShouldStop) -> Tensor | None:
        """Return the data ``(batch_size, ...)`` for a victim's attack, or None.

        Args:
            victim: the victim, of which only the shape of its batch is used.
            model: the global model.
            should_stop: asked often; if it ends the search, there is no baseline.
        """
        seen, blind = victim.observation, victim.attack.without_gradient()
        if seen is None or blind is None or should_stop():
            return None
        shape = (seen.batch_size, *seen.input_shape)
        for attack, known, data in self._found:
            if attack == blind and known == shape:
                return data
        data = self._search(blind, model, seen, should_stop)
        if not should_stop():
            self._found.append((blind, shape, data))
        return data

    def _search(
        self, blind: Attack, model: nn.Module, seen: Observation, should_stop: ShouldStop
    ) -> Tensor | None:
        try:
            [found] = blind.run(model, [withheld(seen)], seed=self._seed, should_stop=should_stop)
        except Exception:  # a baseline of third-party code must not affect the training
            return None
        return found.data


def withheld(seen: Observation) -> Observation:
    """Return an observation of the same batch shape that holds nothing of the upload.

    An objective that compares no gradients is not enough: closed forms, statistics and label rules
    read the upload too.

    Args:
        seen: the observation.
    """
    nothing = {name: torch.zeros_like(g) for name, g in seen.gradient.items()}
    labels = seen.labels
    if labels is None and (seen.is_classification or seen.has_classes):
        labels = torch.zeros(seen.batch_size, dtype=torch.long)  # any, none is to be searched for
    return replace(seen, gradient=nothing, labels=labels, training=None, statistics=None)
