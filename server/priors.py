"""Reconstructions with the gradient withheld: a baseline of an attack's priors alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from fedsim.attacks import Attack, Observation
from fedsim.attacks.types import ShouldStop, ignore_progress
from fedsim.server.solving import Job, Solver
from fedsim.server.victims import Victim

Alone = Callable[[], Tensor | None]
"""Waits for the data ``(batch_size, ...)`` that an attack's priors prefer; None for no baseline."""


class PriorsAlone:
    """The data that each attack's priors prefer, computed once for each attack and batch shape.

    They depend neither on the victim nor on the round.

    Args:
        seed: seed of the random start.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._begun: list[tuple[Attack, tuple[int, ...], Alone]] = []

    def begin(
        self, victim: Victim, model: nn.Module, solver: Solver, should_stop: ShouldStop
    ) -> Alone:
        """Begin the search of a victim's attack, unless it has begun before.

        Args:
            victim: the victim, of which only the shape of its batch is used.
            model: the global model.
            solver: where it is computed.
            should_stop: asked often; if it ends the search, there is no baseline.
        """
        seen, blind = victim.observation, victim.attack.without_gradient()
        if seen is None or blind is None:
            return lambda: None
        shape = (seen.batch_size, *seen.input_shape)
        for attack, known, alone in self._begun:
            if attack == blind and known == shape:
                return alone
        if should_stop():
            return lambda: None
        stopped: list[bool] = []

        def asked() -> bool:
            if should_stop():  # which is not said again if the attacks are given time back
                stopped.append(True)
            return bool(stopped)

        search = self._search(blind, model, seen, solver, asked)

        def wait() -> Tensor | None:
            data = search()
            if not stopped:
                return data
            self._begun = [each for each in self._begun if each[2] is not wait]
            return None

        self._begun.append((blind, shape, wait))
        return wait

    def _search(
        self,
        blind: Attack,
        model: nn.Module,
        seen: Observation,
        solver: Solver,
        should_stop: ShouldStop,
    ) -> Alone:
        # A baseline of third-party code must not affect the training.
        try:
            job = Job(blind, model, [withheld(seen)], self._seed)
            end = solver(job, ignore_progress, should_stop)
        except Exception:
            return lambda: None

        def search() -> Tensor | None:
            try:
                [found] = end().found
            except Exception:
                return None
            return found.data

        return cache(search)


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
