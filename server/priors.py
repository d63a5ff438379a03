"""Reconstructions with the gradient withheld: a baseline of an attack's priors alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from fedsim.attacks import Attack, Observation
from fedsim.attacks.types import ShouldStop
from fedsim.server.solving import Solver, begin
from fedsim.server.victims import Victim


class PriorsAlone:
    """The data that each attack's priors prefer, computed once for each attack and batch shape.

    They depend neither on the victim nor on the round.

    Args:
        seed: seed of the random start.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._begun: list[tuple[Attack, tuple[int, ...], Search]] = []

    def begin(
        self, victim: Victim, model: nn.Module, solver: Solver, should_stop: ShouldStop
    ) -> Search | None:
        """Begin the search of a victim's attack unless it has begun, and return it, or None.

        Args:
            victim: the victim, of which only the shape of its batch is used.
            model: the global model.
            solver: where it is computed.
            should_stop: asked often; if it ends the search, there is no baseline.
        """
        seen, blind = victim.observation, victim.attack.without_gradient()
        if seen is None or blind is None:
            return None
        shape = (seen.batch_size, *seen.input_shape)
        for attack, known, search in self._begun:
            if attack == blind and known == shape and not search.is_cut:
                return search
        if should_stop():
            return None
        alone = replace(victim, attack=blind, observation=withheld(seen))
        search = Search(alone, model, self._seed, solver, should_stop)
        self._begun.append((blind, shape, search))
        return search

    def alone(
        self, victim: Victim, model: nn.Module, solver: Solver, should_stop: ShouldStop
    ) -> Tensor | None:
        """Return the data ``(batch_size, ...)`` for a victim's attack, or None; as `begin`."""
        search = self.begin(victim, model, solver, should_stop)
        return None if search is None else search.data


class Search:
    """A search that has begun, and that several may wait for.

    Attributes:
        is_cut: whether it was told to stop, also if the attacks are given time back since.
    """

    def __init__(
        self, victim: Victim, model: nn.Module, seed: int, solver: Solver, should_stop: ShouldStop
    ) -> None:
        self.is_cut = False
        self._should_stop = should_stop
        self._end = begin(solver, [victim], model, seed, lambda *_: None, self._stops)

    @cached_property
    def data(self) -> Tensor | None:
        """Data that it finds, waited for; None if it fails or is cut."""
        [found], _ = self._end()
        del self._end  # which holds a model
        return None if self.is_cut else found.data

    def _stops(self) -> bool:
        self.is_cut = self.is_cut or self._should_stop()
        return self.is_cut


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
