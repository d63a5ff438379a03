"""A chain of defenses on one upload, in the written order."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedsim.clients.defenses.base import Defense
from fedsim.clients.defenses.wire import payload_bytes
from fedsim.core.registry import DEFENSES


@dataclass(frozen=True)
class DefenseRecord:
    """Record of one defense applied to one upload.

    Attributes:
        name: the registered name of the defense.
        parameters: its parameters by name.
        did: its report, ``Protected.did``.
    """

    name: str
    parameters: Mapping[str, object]
    did: Mapping[str, float]


@dataclass(frozen=True)
class ProtectedUpload:
    """An upload after all of a client's defenses.

    Attributes:
        tensors: the defended upload, with unchanged names, shapes and dtypes.
        records: one for each defense, in the order in which they were applied.
        num_bytes: size of the payload on the wire, by the model of ``payload_bytes``.
        states: the state of each defense that the client keeps until its next upload.
    """

    tensors: dict[str, Tensor]
    records: tuple[DefenseRecord, ...]
    num_bytes: int
    states: tuple[Mapping[str, Tensor], ...] = ()


def is_private(defenses: Sequence[Defense]) -> bool:
    """Return whether a chain has a mechanism of differential privacy.

    Its client then sends nothing in the clear that depends on the data: no loss, and no measures of
    what its defenses did.
    """
    return any(each.mechanism() is not None for each in defenses)


def record_of(defense: Defense, did: Mapping[str, float]) -> DefenseRecord:
    """Return the record of an applied defense.

    Raises:
        UnknownNameError: the defense's class is not registered.
    """
    return DefenseRecord(DEFENSES.name_of(defense), dataclasses.asdict(defense), dict(did))


def protect(
    defenses: Sequence[Defense],
    upload: Mapping[str, Tensor],
    generator: torch.Generator,
    states: Sequence[Mapping[str, Tensor]] = (),
) -> ProtectedUpload:
    """Apply defenses to an upload, the first one first.

    The last defense that sets an encoding determines the encoding on the wire: noise after rounding
    moves the values off the grid and so back to full precision, without the scales of an earlier
    quantisation; pruning after rounding keeps the grid.

    Args:
        defenses: in the order in which they are applied; without any, the upload is unchanged.
        upload: gradients or updates by parameter name, of any shapes; not modified.
        generator: source of all randomness.
        states: the states after the client's last upload; empty before the first.

    Raises:
        UnknownNameError: a defense's class is not registered.
    """
    tensors = dict(upload)
    records: list[DefenseRecord] = []
    value_bits: int | None = None
    overhead_bytes = 0
    kept: list[Mapping[str, Tensor]] = []
    for each, state in zip(defenses, states or [{}] * len(defenses), strict=True):
        done = each.protect_next(tensors, generator, state)
        kept.append(done.state)
        tensors = done.tensors
        if done.value_bits is not None:
            value_bits, overhead_bytes = done.value_bits, 0
        overhead_bytes += done.overhead_bytes
        records.append(record_of(each, done.did))
    num_bytes = payload_bytes(tensors, value_bits, overhead_bytes)
    return ProtectedUpload(tensors, tuple(records), num_bytes, tuple(kept))
