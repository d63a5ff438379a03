"""Base class of every defense: parameters, and hooks into the computation of an upload."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fedsim.core.checked import Parameters, checked
from fedsim.core.seeds import derive
from fedsim.models import Spec, cross_entropy


@dataclass(frozen=True)
class Protected:
    """An upload after one defense, and what the defense did.

    Attributes:
        tensors: the upload, with unchanged names, shapes and dtypes.
        value_bits: bits that one floating-point value takes on the wire after the defense, or None
            if the defense did not change the grid of the values.
        overhead_bytes: bytes on the wire in addition to the values, such as quantisation scales.
        did: report of what the defense did, measured from the tensors where possible.
        state: state of this defense that the client keeps until its next upload.
    """

    tensors: dict[str, Tensor]
    value_bits: int | None = None
    overhead_bytes: int = 0
    did: Mapping[str, float] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)


BatchLoss = Callable[[Tensor, Tensor], Tensor]
"""Loss of a model's outputs and the labels of a batch, a scalar."""


@dataclass(frozen=True)
class Batch:
    """Training batch of one step.

    Attributes:
        inputs: of a model, such as images ``(N, C, H, W)`` in [0, 1], or tokens ``(N, L)``; a
            defense of images may leave their range.
        labels: classes ``(N,)``, or probabilities ``(N, classes)``.
        did: report of the defense that made it.
        loss: the client's loss of outputs and labels.
    """

    inputs: Tensor
    labels: Tensor
    did: Mapping[str, float] = field(default_factory=dict)
    loss: BatchLoss = cross_entropy


@dataclass(frozen=True)
class Private:
    """Private data and model of a client, besides the batch.

    Attributes:
        draw: returns the given number of other private examples, and their labels.
        num_classes: number of classes.
        model: the global model; a defense must not change it.
    """

    draw: Callable[[int], tuple[Tensor, Tensor]]
    num_classes: int
    model: nn.Module


@dataclass(frozen=True)
class Computed:
    """A step's gradient, computed by a defense instead of plain automatic differentiation.

    Attributes:
        gradients: gradients of all trained parameters, by name.
        loss: loss of the batch.
        did: report of what the defense did.
    """

    gradients: dict[str, Tensor]
    loss: float
    did: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Mechanism:
    """A step of differential privacy: Gaussian noise on a sum of bounded contributions.

    Attributes:
        noise_multiplier: standard deviation of the noise on the sum, in units of ``norm``. If one
            contribution replaces another the sum changes by twice the norm.
        delta: delta of the reported (epsilon, delta).
        unit: the bounded contribution: each example's, or that of all the client's data.
        norm: bound on the L2 norm of a contribution.
    """

    noise_multiplier: float
    delta: float
    unit: Literal["example", "client"]
    norm: float


@checked
class Defense(Parameters):
    """A change to a client's batch, gradient or upload that reduces leakage.

    Subclasses have their parameters as fields and override the hooks that they need: the batch
    is changed first, then the gradient is computed from it, then the upload is changed. Each hook
    is a pure function: arguments are not modified, and all randomness comes from ``generator``.
    """

    modalities: ClassVar[frozenset[str] | None] = None
    """Supported modalities; None for all. Defenses of uploads support all."""

    identity: ClassVar[Mapping[str, object] | None] = None
    """Parameters with which it changes nothing; None if there are none."""

    needs_others: ClassVar[bool] = False
    """Whether clients compare what they received, which a server must relay."""

    @property
    def other_units(self) -> Mapping[str, float]:
        """Its strength in units that others use, by name, shown beside the parameters."""
        return {}

    def protect_batch(self, batch: Batch, private: Private, generator: torch.Generator) -> Batch:
        """Return the batch to train on; by default, the private batch.

        Args:
            batch: the private batch; its number of examples must not change.
            private: the client's other data, and the model.
            generator: source of all randomness.
        """
        return batch

    def compute_gradient(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> Computed | None:
        """Return the gradient of a step, or None to use automatic differentiation.

        Args:
            model: the model with the weights before the step, in the client's mode. Its buffers may
                change as in a forward pass.
            batch: the batch after all changes.
            generator: source of all randomness.
        """
        return None

    def objection(self, spec: Spec) -> str | None:
        """Return the reason why the defense does not support the model, or None.

        Called when a scenario is loaded, before the data are loaded.

        Args:
            spec: hyper-parameters of the model.
        """
        return None

    def mechanism(self) -> Mechanism | None:
        """Return the differential privacy of each step (or upload), or None."""
        return None

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Return the defended upload; by default, the upload itself.

        A pure function: neither ``upload`` nor its tensors are modified, all randomness comes
        from ``generator``, and tensors that are not floating-point do not change.

        Args:
            upload: gradients or updates by parameter name, of any shapes.
            generator: source of all randomness.
        """
        return Protected(tensors=dict(upload))

    def protect_next(
        self, upload: Mapping[str, Tensor], generator: torch.Generator, state: Mapping[str, Tensor]
    ) -> Protected:
        """Return the defended upload of a defense with a state; by default, without a state.

        Args:
            upload: gradients or updates by parameter name, of any shapes.
            generator: source of all randomness.
            state: the state after the client's last upload; empty before the first.
        """
        return self.protect_upload(upload, generator)


def defense_generator(
    seed: int, partition: int, server_round: int, purpose: str = "defense"
) -> torch.Generator:
    """Return the generator for the defenses of one client in one round of a simulated run.

    Args:
        seed: the run's seed.
        partition: index of the client's slice of the data.
        server_round: number of the round, from 1.
        purpose: purpose of the generator; different purposes give different numbers.
    """
    return torch.Generator().manual_seed(derive(seed, purpose, partition, server_round))


def fresh_generator() -> torch.Generator:
    """Return a generator seeded by the operating system, for clients with real data.

    Its noise cannot be repeated, but it is not cryptographic: PyTorch's CPU generator is a
    Mersenne Twister of which a seed sets 32 bits. An adversary who sees pure noise (where the
    gradient is known to be zero) can search for the seed and subtract all of the noise.
    """
    return torch.Generator().manual_seed(secrets.randbits(63))
