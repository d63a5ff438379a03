"""Reading of replies from clients of other Flower apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from flwr.app import Message
from torch import Tensor

from fedsim.core.arrays import tensors_of
from fedsim.core.errors import UploadError
from fedsim.core.text import printable
from fedsim.server.uploads import Shapes, Upload

PARTITION_KEY = "partition-id"
"""Metric in which a client can report its partition."""

ADAPTER = ".default"
"""Part of the names of an adapter's tensors in a module of PEFT's, absent from its state."""


def read_foreign(reply: Message, partition: int, expected: Shapes) -> Upload:
    """Read a reply to a train message; an invalid reply gives an upload with a problem.

    Other than the clients of fedsim, the client may leave tensors out or add some, name them by
    their position, and report any metrics.

    Args:
        reply: the reply.
        partition: the client that it came from.
        expected: the shape of each tensor of the model's state, in the order of the model.
    """
    try:
        return _read(reply, partition, expected)
    except UploadError as error:
        return Upload(partition, problem=printable(str(error)))
    except Exception as error:  # the audited training continues for any behaviour of a client
        reason = f"the reply cannot be read: {type(error).__name__}: {error}"
        return Upload(partition, problem=printable(reason))


def reported_partition(reply: Message) -> int | None:
    """Return the partition that a reply reports as ``partition-id`` in its metrics, or None."""
    if reply.has_error():
        return None
    for record in reply.content.metric_records.values():
        value = record.get(PARTITION_KEY)
        if isinstance(value, int | float) and value >= 0 and value == int(value):
            return int(value)
    return None


def named_as(arrays: Mapping[str, Tensor], expected: Shapes) -> dict[str, Tensor]:
    """Return tensors under the names of a model's state.

    If no name is the model's, they are taken for the matrices of an adapter (LoRA), whose name
    Hugging Face's PEFT leaves out of its files: ``lora_A.weight`` for ``lora_A.default.weight``. Or
    else, if there are as many tensors as the state has, they are taken in its order, as apps that
    send lists of arrays have them. Tensors that the model does not have are left out.

    Raises:
        UploadError: the tensors are not the model's, or one has another shape.
    """
    arrays = _of_adapter(arrays, expected)
    if not set(arrays) & set(expected):
        if len(arrays) != len(expected):
            raise UploadError(
                f"the tensors {_listed(arrays)} are not those of the model, "
                f"which has {_listed(expected)}"
            )
        _check_order(list(arrays.values()), expected)
        arrays = dict(zip(expected, arrays.values(), strict=True))
    own = {k: arrays[k] for k in expected if k in arrays}
    for name, tensor in own.items():
        if tuple(tensor.shape) != expected[name]:
            raise UploadError(
                f"the tensor {name!r} has shape {tuple(tensor.shape)}, expected {expected[name]}"
            )
        if tensor.is_complex() or not bool(torch.isfinite(tensor).all()):
            raise UploadError(f"the tensor {name!r} holds NaN or values that are not finite reals")
    return own


def _of_adapter(arrays: Mapping[str, Tensor], expected: Shapes) -> Mapping[str, Tensor]:
    """Return tensors by name, with that of PEFT's only adapter put back."""
    known = {name.replace(ADAPTER, ""): name for name in expected if ADAPTER in name}
    if set(arrays) & set(expected) or not set(arrays) & set(known):
        return arrays
    return {known.get(name, name): tensor for name, tensor in arrays.items()}


def _check_order(arrays: Sequence[Tensor], expected: Shapes) -> None:
    """Raise for tensors without names whose shapes fit the model in another order.

    Raises:
        UploadError: they do; the message names the order.
    """
    shapes = [tuple(tensor.shape) for tensor in arrays]
    if shapes == list(expected.values()):
        return
    orders = {"sorted by name": sorted(expected), "reversed": list(expected)[::-1]}
    for order, names in orders.items():
        if shapes == [expected[name] for name in names]:
            raise UploadError(
                f"the tensors have no names and are {order}: expected the order of the model's "
                "state, or names"
            )


def _read(reply: Message, partition: int, expected: Shapes) -> Upload:
    if reply.has_error():
        raise UploadError(f"the client failed: {reply.error.reason}")
    records = list(reply.content.array_records.values())
    if not records:
        raise UploadError("the reply has no record of arrays")
    record = max(records, key=lambda each: len(set(each) & set(expected)))
    try:
        arrays = tensors_of(record)
    except Exception as error:  # untrusted bytes can fail to decode with any exception
        raise UploadError(f"the arrays cannot be decoded: {error}") from error
    size = sum(t.numel() * t.element_size() for t in arrays.values())
    metrics = {
        k: float(v)
        for each in reply.content.metric_records.values()
        for k, v in each.items()
        if isinstance(v, int | float)
    }
    return Upload(partition, named_as(arrays, expected), {"upload-bytes": float(size), **metrics})


def _listed(names: Mapping[str, object]) -> str:
    shown = ", ".join(map(repr, list(names)[:3]))
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 3 else shown
