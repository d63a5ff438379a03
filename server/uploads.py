"""Reading of clients' replies, which are not trusted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from fedsim.core.arrays import of_kind, tensors_of
from fedsim.core.errors import UploadError
from fedsim.core.text import printable
from fedsim.data import LENGTHS_KEY

Shapes = Mapping[str, tuple[int, ...]]
BYTES_KEY = "upload-bytes"
MAX_LENGTH, MAX_LENGTHS = 4096, 100_000
MAX_EXAMPLES = 2**53
"""Maximum number of examples of a client, for which sums of weights stay accurate and finite."""
MAX_COUNT = 2**53
"""Maximum magnitude of a counter in a buffer, up to which its mean is accurate."""
MAX_DID = 500
"""Maximum number of entries in a client's report on its defenses."""
MAX_HEADER, WIDEST = 10_000, 16
"""Maximum bytes of an array's header, and of one of its values."""


@dataclass(frozen=True)
class Limits:
    """Limits of a usable upload besides its shapes.

    Attributes:
        types: the model's type of each tensor, in which the values must be finite; float32 for
            others.
        examples: number of examples that each client was asked to train on, by partition;
            `MAX_EXAMPLES` for others.
    """

    types: Mapping[str, torch.dtype] = field(default_factory=dict)
    examples: Mapping[int, int] = field(default_factory=dict)


NO_LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class Upload:
    """Contents of one client's reply, read once.

    Attributes:
        partition: the client.
        arrays: its tensors by name; empty if there is a problem.
        metrics: the numbers that came with them.
        lengths: the sorted numbers of tokens of its texts, if it reports them.
        did: the client's report on its defenses, by ``position.name.measure``.
        problem: reason why the upload is unusable, or None.
        rounding: size of its rounding in units of an aggregation's resolution; more than 1 if it
            was taken out of a sum.
    """

    partition: int
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    did: Mapping[str, float] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    problem: str | None = None
    rounding: float = 1.0

    @property
    def partitions(self) -> tuple[int, ...]:
        """The clients whose data are behind the arrays: this one."""
        return (self.partition,)


@dataclass(frozen=True, eq=False)
class Sum:
    """Result of a round of secure aggregation: the mean of all uploads, but no single upload.

    Attributes:
        partitions: the clients whose uploads are in it.
        arrays: the mean by name, in the shape of one upload; empty if there is a problem.
        examples: number of examples behind it.
        uploads: the visible part of each client's reply, without arrays.
        dropped: the clients that dropped out at some stage, with the reason.
        costs: bytes and seconds, by stage.
        problem: reason for a missing sum, or None.
        isolated: uploads of single clients that a malicious server took out of it.
        rounding: steps to which its values are rounded, as a multiple of the aggregation's
            resolution.
    """

    partitions: tuple[int, ...]
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    examples: int = 0
    uploads: tuple[Upload, ...] = ()
    dropped: Mapping[int, str] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    isolated: tuple[Upload, ...] = ()
    rounding: float = 1.0

    @property
    def lengths(self) -> tuple[int, ...]:
        """Sorted numbers of tokens of the texts behind it, if the clients report them."""
        return tuple(sorted(n for u in self.uploads for n in u.lengths))


def digest(upload: Upload | Sum) -> str:
    """Return a hash of the tensors, independent of their serialisation."""
    whole = hashlib.sha256()
    for name, array in sorted(upload.arrays.items()):
        whole.update(f"{name} {array.dtype} {tuple(array.shape)} ".encode())
        whole.update(array.contiguous().numpy().tobytes())
    return whole.hexdigest()


def read_upload(
    reply: Message, partition: int, expected: Shapes, limits: Limits = NO_LIMITS
) -> Upload:
    """Read a reply to a train message; an invalid reply gives an upload with a problem.

    Args:
        reply: the reply.
        partition: the client that it came from.
        expected: the required shape of each tensor.
        limits: types of the values, and numbers of examples.
    """
    try:
        return _read(reply, partition, expected, limits)
    except UploadError as error:
        return Upload(partition, problem=printable(str(error)))
    except Exception as error:  # the round continues for any behaviour of a client
        reason = f"the reply cannot be read: {type(error).__name__}: {error}"
        return Upload(partition, problem=printable(reason))


def read_clear(content: RecordDict, partition: int) -> Upload:
    """Read the visible part of a hidden upload; invalid content gives a problem."""
    try:
        records = [v for k, v in of_kind(content, MetricRecord).items() if k == "metrics"]
        metrics = _metrics(records, MAX_EXAMPLES)
        return Upload(partition, metrics=metrics, did=_did(content), lengths=_lengths(records[0]))
    except UploadError as error:
        return Upload(partition, problem=printable(str(error)))


def _read(reply: Message, partition: int, expected: Shapes, limits: Limits) -> Upload:
    if reply.has_error():
        raise UploadError(f"the client failed: {reply.error.reason}")
    records = list(of_kind(reply.content, ArrayRecord).values())
    if len(records) != 1:
        raise UploadError(f"expected one record of arrays, found {len(records)}")
    most = limits.examples.get(partition, MAX_EXAMPLES)
    said = list(of_kind(reply.content, MetricRecord).values())
    metrics = _metrics(said, most)
    _check_names_and_sizes(records[0], expected)
    try:
        arrays = tensors_of(records[0])
    except Exception as error:  # untrusted bytes can fail to decode with any exception
        raise UploadError(f"the arrays cannot be decoded: {error}") from error
    _check_arrays(arrays, expected, limits.types)
    _check_said_types(records[0], arrays)
    lengths = _lengths(said[0])
    metrics = _with_true_size(metrics, sum(len(array.data) for array in records[0].values()))
    return Upload(partition, arrays, metrics, _did(reply.content), lengths)


def _lengths(metrics: MetricRecord) -> tuple[int, ...]:
    """Return the lengths of texts, if the client reports valid ones."""
    said = metrics.get(LENGTHS_KEY)
    if not isinstance(said, list) or not 0 < len(said) <= MAX_LENGTHS:
        return ()
    if not all(isinstance(n, int) and 0 < n <= MAX_LENGTH for n in said):
        return ()
    return tuple(sorted(map(int, said)))


def _did(content: RecordDict) -> dict[str, float]:
    said = of_kind(content, ConfigRecord).get("defenses") or ConfigRecord()
    if len(said) > MAX_DID:
        raise UploadError(
            f"the report on its defenses has {len(said)} entries: expected at most {MAX_DID}"
        )
    return {printable(k): float(v) for k, v in said.items() if isinstance(v, int | float)}


def _metrics(records: list[MetricRecord], most: int) -> dict[str, float]:
    if len(records) != 1:
        raise UploadError(f"expected one record of metrics, found {len(records)}")
    metrics = {k: float(v) for k, v in records[0].items() if isinstance(v, int | float)}
    examples = metrics.get("num-examples", math.nan)
    if not 1 <= examples <= most or examples != int(examples):
        raise UploadError(f"num-examples is {examples:g}: expected a whole number from 1 to {most}")
    return metrics


def _with_true_size(metrics: Mapping[str, float], received: int) -> dict[str, float]:
    """Return metrics in which the size of an upload is at most that of what was received.

    Defenses that encode an upload report less than its arrays have here.
    """
    said = metrics.get(BYTES_KEY)
    if said is None or 0 <= said <= received:
        return dict(metrics)
    return {**metrics, BYTES_KEY: float(received)}


def _check_names_and_sizes(arrays: ArrayRecord, expected: Shapes) -> None:
    """Check what can be checked before anything is decoded."""
    missing, surplus = sorted(set(expected) - set(arrays)), sorted(set(arrays) - set(expected))
    if missing:
        raise UploadError(f"the tensor {missing[0]!r} is missing")
    if surplus:
        raise UploadError(f"there is a tensor {surplus[0]!r}, which the model does not have")
    for name, shape in expected.items():
        found, most = len(arrays[name].data), math.prod(shape) * WIDEST + MAX_HEADER
        if found > most:
            raise UploadError(
                f"the tensor {name!r} has {found} bytes: expected at most {most} for {shape}"
            )


def _check_arrays(
    arrays: Mapping[str, Tensor], expected: Shapes, types: Mapping[str, torch.dtype]
) -> None:
    for name, shape in expected.items():
        found = tuple(arrays[name].shape)
        if found != shape:
            raise UploadError(f"the tensor {name!r} has shape {found}, expected {shape}")
        if arrays[name].is_complex():
            raise UploadError(f"the tensor {name!r} is of {arrays[name].dtype}, which is not real")
        if not bool(torch.isfinite(arrays[name]).all()):
            raise UploadError(f"the tensor {name!r} holds NaN or infinite values")
        _check_range(name, arrays[name], types.get(name, torch.float32))


def _check_said_types(record: ArrayRecord, arrays: Mapping[str, Tensor]) -> None:
    """Check that the types beside the arrays, which Flower trusts, are theirs."""
    for name, array in arrays.items():
        found = str(array.dtype).removeprefix("torch.")
        if printable(str(record[name].dtype)) != found:
            raise UploadError(
                f"the tensor {name!r} is said to be of {record[name].dtype}, but is of {found}"
            )


def _check_range(name: str, array: Tensor, kind: torch.dtype) -> None:
    """Check that finite values are so in the model's type, too."""
    if array.dtype == kind and kind.is_floating_point:
        return
    if kind.is_floating_point:
        fits = bool(torch.isfinite(array.to(kind)).all())
    else:
        fits = bool((array.to(torch.float64).abs() <= MAX_COUNT).all())
    if not fits:
        raise UploadError(f"the tensor {name!r} holds values that do not fit the model's {kind}")
