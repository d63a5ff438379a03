"""What a defense is: parameters, and hooks into the making of an upload."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fedsim.core.checked import Parameters, checked
from fedsim.core.seeds import derive
from fedsim.models import LanguageModel, ModelSpec


@dataclass(frozen=True)
class Protected:
    """An upload after one defense, and what the defense did.

    Attributes:
        tensors: the upload; names, shapes and dtypes are those that went in.
        value_bits: bits that one floating-point value takes on the wire from now on, or None if
            the defense left the values on the grid that they were on.
        overhead_bytes: bytes on the wire beside the values, such as quantisation scales.
        did: what the defense did, measured from the tensors where it can be.
        state: what the client keeps of this defense until its next upload.
    """

    tensors: dict[str, Tensor]
    value_bits: int | None = None
    overhead_bytes: int = 0
    did: Mapping[str, float] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """What one step trains on.

    Attributes:
        images: ``(N, C, H, W)`` in [0, 1]; outside of it after a defense of inputs.
        labels: classes ``(N,)``, or probabilities ``(N, classes)``.
        did: what a defense did to make it.
    """

    images: Tensor
    labels: Tensor
    did: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Private:
    """What a client has at home beside the batch.

    Attributes:
        draw: returns that many other private images and their labels.
        num_classes: how many classes there are.
        model: the global model; a defense must leave it as it is.
    """

    draw: Callable[[int], tuple[Tensor, Tensor]]
    num_classes: int
    model: nn.Module


@dataclass(frozen=True)
class Computed:
    """A step's gradient that a defense computed in place of plain automatic differentiation.

    Attributes:
        gradients: by name, of all parameters that are trained.
        loss: mean cross-entropy of the batch.
        did: what the defense did.
    """

    gradients: dict[str, Tensor]
    loss: float
    did: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Mechanism:
    """A step of differential privacy: Gaussian noise on a sum of bounded contributions.

    Attributes:
        noise_multiplier: standard deviation of the noise on the sum, in units of the bound.
        delta: of the (epsilon, delta) that is to be reported.
        unit: whose contribution is bounded: each example's, or all of the client's data.
    """

    noise_multiplier: float
    delta: float
    unit: Literal["example", "client"]


@checked
class Defense(Parameters):
    """What a client does so that its upload tells less about its data.

    Subclasses carry their parameters as fields and override the hooks that they need: the batch
    is changed first, then the gradient is computed from it, then the upload is changed. Each is
    a pure function: what it is given is not modified, and all randomness comes from
    ``generator``.
    """

    modalities: ClassVar[frozenset[str] | None] = None
    """The kinds of data whose batches it can change; None for any, as of uploads."""

    def protect_batch(self, batch: Batch, private: Private, generator: torch.Generator) -> Batch:
        """Return what to train on in place of the private batch: here, the batch.

        Args:
            batch: what the step would train on; as many images come out as went in.
            private: the client's other data, and the model.
            generator: source of all randomness.
        """
        return batch

    def compute_gradient(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> Computed | None:
        """Return the gradient of a step, or None to leave that to automatic differentiation.

        Args:
            model: with the weights before the step, in the client's mode. Its buffers may change
                as they do in a forward pass.
            batch: after all changes.
            generator: source of all randomness.
        """
        return None

    def objection(self, spec: ModelSpec | LanguageModel) -> str | None:
        """Return why clients that train this model cannot have this defense, None if they can.

        Asked when a scenario is loaded, before there are data.

        Args:
            spec: of the model.
        """
        return None

    def mechanism(self) -> Mechanism | None:
        """Return the differential privacy of each step (or upload), None if there is none."""
        return None

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Return the upload as it leaves the client: here, as it came.

        A pure function: neither ``upload`` nor its tensors are modified, all randomness comes
        from ``generator``, and tensors that are not floating-point stay as they are.

        Args:
            upload: gradients or updates by parameter name, of any shapes.
            generator: source of all randomness.
        """
        return Protected(tensors=dict(upload))

    def protect_next(
        self, upload: Mapping[str, Tensor], generator: torch.Generator, state: Mapping[str, Tensor]
    ) -> Protected:
        """Return the upload as it leaves a client that remembers: here, without a memory.

        Args:
            upload: as in `protect_upload`, which is the first upload.
            generator: as there.
            state: what the client kept after its last upload; empty before the first.
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
        purpose: what it is for; others give other numbers.
    """
    return torch.Generator().manual_seed(derive(seed, purpose, partition, server_round))


def fresh_generator() -> torch.Generator:
    """Return a generator seeded by the operating system, for clients with real data.

    Its noise cannot be repeated, yet it is not cryptographic: PyTorch's CPU generator is a
    Mersenne Twister of which a seed sets 32 bits. An adversary who sees noise alone (where the
    gradient is known to be zero) can search for the seed and subtract the rest.
    """
    return torch.Generator().manual_seed(secrets.randbits(63))
