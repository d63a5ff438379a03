"""Base class of every manipulation of the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedsim.core.checked import Parameters, checked
from fedsim.core.modality import PICTURES


@dataclass(frozen=True, eq=False)
class Public:
    """Knowledge of a malicious server about its clients' data.

    Attributes:
        inputs: public examples ``(N, *input_shape)``, as the model takes them.
        batch_size: examples in a client's batch.
        labels: classes of the public examples ``(N,)``; None where there are none.
    """

    inputs: Tensor
    batch_size: int
    labels: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Changed:
    """A changed model, and a description of the change.

    Attributes:
        model: the model to send.
        what: the change, as a clause without a subject.
        tensors: names of the changed and inserted tensors.
        expected: share of a client's batch that public data, or theory, say it isolates; None if
            it isolates no examples.
        constants: constants that were chosen on public data, by name.
    """

    model: nn.Module
    what: str
    tensors: tuple[str, ...]
    expected: float | None
    constants: Mapping[str, float] = field(default_factory=dict)


@checked
class Manipulation(Parameters, ABC):
    """A change to the model that a server sends, so that the uploads tell more.

    A subclass is a frozen dataclass of its parameters. It changes the model for the clients and in
    the rounds that the scenario's adversary attacks; the others get the honest model.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({PICTURES})
    """Supported modalities; None for all."""

    readout: ClassVar[str]
    """Registered name of the attack that reads the result, the default of ``adversary.attack``."""

    block: ClassVar[str | None] = None
    """Name of the block of `fedsim.models.blocks` that it inserts; None for an unchanged
    architecture."""

    isolates: ClassVar[bool] = False
    """Whether it takes uploads of single clients out of a secure sum; see `Isolating`."""

    estimates: ClassVar[bool] = False
    """Whether a part of the uploads that it takes out of a secure sum is an estimate, so that the
    equations of an attack on them hold only approximately."""

    @property
    def letter(self) -> str:
        """Letter of its adversary in the SoK of Carletti et al. (USENIX Security 2025).

        F manipulates the model without surrogate data, G with them, H also selects the clients.
        """
        return "G"

    def architecture(self, model: nn.Module, input_shape: tuple[int, ...]) -> nn.Module:
        """Return the model of the attacked clients, with any weights.

        Args:
            model: the honest model.
            input_shape: shape of an example.
        """
        return model

    @abstractmethod
    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the model to send.

        Args:
            model: the honest model of the round, a copy that may be modified.
            public: all that the server knows about the clients' data.
            generator: source of all randomness.

        Raises:
            RunError: the model does not support this manipulation.
        """


def share_alone(active: Tensor, batch_size: int, generator: torch.Generator) -> float:
    """Return the share of a batch's examples that are the only one to activate some unit.

    Args:
        active: whether an example activates a unit ``(examples, units)``.
        batch_size: examples in a batch, which are drawn from all examples.
        generator: source of the batches.
    """
    draws, size = 20, min(batch_size, len(active))
    shares = []
    for _ in range(draws):
        batch = active[torch.randperm(len(active), generator=generator)[:size]]
        alone = batch & (batch.sum(0) == 1)
        shares.append(float(alone.any(1).double().mean()))
    return sum(shares) / draws
