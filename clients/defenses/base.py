"""What a defense is: parameters, and hooks into the making of an upload."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast, dataclass_transform

import pydantic.dataclasses
import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from fedsim.seeds import derive

T = TypeVar("T")

_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def defense(cls: type[T]) -> type[T]:
    """Make a class the frozen dataclass of a defense's parameters.

    A parameter is ``Annotated[type, Field(ge=..., le=..., description=...)]``. However the class
    is constructed, it refuses (``pydantic.ValidationError``) a value outside the bounds, of
    another type, NaN and infinity, and a parameter that it does not have.
    """
    return cast(type[T], pydantic.dataclasses.dataclass(frozen=True, config=_CONFIG)(cls))


@dataclass(frozen=True)
class Protected:
    """An upload after one defense, and what the defense did.

    Attributes:
        tensors: the upload; names, shapes and dtypes are those that went in.
        value_bits: bits that one floating-point value takes on the wire from now on, or None if
            the defense left the values on the grid that they were on.
        overhead_bytes: bytes on the wire beside the values, such as quantisation scales.
        did: what the defense did, measured from the tensors where it can be.
    """

    tensors: dict[str, Tensor]
    value_bits: int | None = None
    overhead_bytes: int = 0
    did: Mapping[str, float] = field(default_factory=dict)


@defense
class Defense:
    """What a client does so that its upload tells less about its data.

    Subclasses carry their parameters as fields and override the hooks that they need.
    """

    def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Protected:
        """Return the upload as it leaves the client: here, as it came.

        A pure function: neither ``upload`` nor its tensors are modified, all randomness comes
        from ``generator``, and tensors that are not floating-point stay as they are.

        Args:
            upload: gradients or updates by parameter name, of any shapes.
            generator: source of all randomness.
        """
        return Protected(tensors=dict(upload))


def defense_generator(seed: int, partition: int, server_round: int) -> torch.Generator:
    """Return the generator for the defenses of one client in one round of a simulated run.

    Args:
        seed: the run's seed.
        partition: index of the client's slice of the data.
        server_round: number of the round, from 1.
    """
    return torch.Generator().manual_seed(derive(seed, "defense", partition, server_round))


def fresh_generator() -> torch.Generator:
    """Return a generator seeded by the operating system, for clients with real data.

    Its noise cannot be repeated, yet it is not cryptographic: PyTorch's CPU generator is a
    Mersenne Twister of which a seed sets 32 bits. An adversary who sees noise alone (where the
    gradient is known to be zero) can search for the seed and subtract the rest.
    """
    return torch.Generator().manual_seed(secrets.randbits(63))
