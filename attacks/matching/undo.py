"""Steps from the pictures that a client trained on to the private ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor

from fedsim.attacks.types import Observation, Reconstruction


class Trained(NamedTuple):
    """Pictures of a solution, and what they were made of so far.

    Attributes:
        pictures: ``(M, C, H, W)`` in the unit box.
        targets: probabilities of the classes, ``(M, classes)``.
        source: row of the solution from which each picture was made, ``(M,)``.
    """

    pictures: Tensor
    targets: Tensor
    source: Tensor


class Undo(ABC):
    """Estimate of the private pictures behind the pictures that a client trained on.

    Gradient matching finds the batch that was trained on. A defense that changes the batch leaves
    the rest to an estimate, which uses public pictures and the attacker's knowledge of the defense,
    but never the private ones. Subclasses compare by value, so that clients with the same defense
    are attacked together.
    """

    @abstractmethod
    def __call__(self, trained: Trained) -> Trained:
        """Return the private pictures, at least one for each given one.

        A mixture gives several: all of them are private pictures of the client.
        """


def undone(
    steps: Sequence[Undo], observation: Observation, found: Reconstruction, classes: int
) -> Reconstruction:
    """Return a reconstruction of the private pictures; the given one without steps.

    Its objective remains that of the solution, whose history precedes it.

    Args:
        steps: in the order in which they are taken, which is opposite to that of the defenses.
        observation: the victim.
        found: the reconstruction of the pictures that were trained on.
        classes: number of classes.
    """
    if found.data is None or found.labels is None or not steps:
        return found
    targets, of_classes = found.targets, not found.labels.is_floating_point()
    if targets is None and not of_classes:
        targets = found.labels
    if targets is None:
        targets = F.one_hot(found.labels.long(), classes).to(found.data)
    scale = observation.scale.on(found.data)
    rows = torch.arange(len(found.data))
    trained = Trained(scale.from_data(found.data), targets.to(found.data), rows)
    for step in steps:
        trained = step(trained)
    data = scale.to_data(trained.pictures.clamp(0, 1))
    history = tuple(replace(s, data=s.data[trained.source]) for s in found.history)
    if history:
        history = (*history[:-1], replace(history[-1], data=data))
    labels = trained.targets.argmax(-1) if of_classes else trained.targets
    return replace(found, data=data, labels=labels, targets=trained.targets, history=history)
