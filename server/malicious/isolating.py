"""Base class of manipulations that take single uploads out of a secure sum."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedsim.core.checked import checked
from fedsim.server.malicious.base import Changed, Manipulation, Public


@dataclass(frozen=True, eq=False)
class Mixture:
    """The mean of a round's uploads, weighted by their examples, which the server sees.

    Attributes:
        changes: gradients, and changes of all that is not a gradient, by name, in doubles.
        examples: number of examples of each client in it.
        unit: units of a gradient per unit of a change of the weights; 1 if gradients are uploaded.
    """

    changes: Mapping[str, Tensor]
    examples: Mapping[int, float]
    unit: float

    @property
    def total(self) -> float:
        """Number of examples of all clients."""
        return sum(self.examples.values())


Separate = Callable[[Mixture], Mapping[int, Mapping[str, Tensor]]]
"""Function from a mixture to the uploads of single clients in it, by client."""


@dataclass(frozen=True, eq=False)
class Isolation:
    """Deeds of a server in one round by which it takes uploads of single clients out of a sum.

    Attributes:
        victims: the clients whose uploads it reads.
        models: the model that each client receives, by client; a client without one is not asked.
        separate: reads the uploads out of the sum.
        invented: number of clients that the server plays itself, in place of those that it does
            not ask; None if it asks all.
    """

    victims: tuple[int, ...]
    models: Mapping[int, nn.Module]
    separate: Separate
    invented: int | None = None


@checked
class Isolating(Manipulation):
    """A manipulation that takes uploads of single clients out of a secure sum.

    Its `change` returns the model as which the server reads an upload.
    """

    isolates: ClassVar[bool] = True

    @abstractmethod
    def isolate(
        self,
        changed: Changed,
        victims: Sequence[int],
        cohort: Sequence[int],
        public: Public,
        generator: torch.Generator,
    ) -> Isolation:
        """Return the deeds of the server in a round.

        Args:
            changed: result of `change`.
            victims: the clients of the round that the scenario's adversary may attack.
            cohort: all clients of the round.
            public: all that the server knows about the clients' data.
            generator: source of all randomness.

        Raises:
            RunError: the model does not support this manipulation.
        """


def one_of(clients: Sequence[int], generator: torch.Generator) -> int:
    """Return one client, drawn from those given."""
    return clients[int(torch.randint(len(clients), (), generator=generator))]
