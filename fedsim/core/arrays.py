"""Tensors in Flower's records, read and written without parsing NumPy's header each time.

Flower's `Array` holds the bytes of an NPY file, whose header is Python source text that NumPy
parses. For the small tensors of the networks here, and a dozen conversions of each in every round,
that takes longer than training. There are few different headers, so that each is parsed, or
written, once. The results, and the errors of damaged bytes, are those of Flower.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray
from torch import Tensor

_Record = TypeVar("_Record", ArrayRecord, ConfigRecord, MetricRecord)

_MAGIC = np.lib.format.magic(1, 0)
_START = len(_MAGIC) + 2
"""Bytes before the header: the magic, and the header's length."""
_MOST = 1024
"""Maximum number of different headers that are remembered."""
_NPY = "numpy.ndarray"
"""Flower's name of this serialisation."""


def of_kind(content: RecordDict, kind: type[_Record]) -> dict[str, _Record]:
    """Return the records of a kind by name, for what each client does in each step.

    Flower's properties for this return views that change with the content, for which it checks each
    record twice.
    """
    return {name: record for name, record in content.items() if isinstance(record, kind)}


def tensors_of(record: ArrayRecord) -> dict[str, Tensor]:
    """Return the tensors of a record by name, as ``ArrayRecord.to_torch_state_dict`` does.

    Args:
        record: of any serialised arrays, trusted or not.

    Raises:
        ValueError, TypeError, EOFError, ...: what Flower and NumPy raise for bytes that are not
            those of an array.
    """
    return {name: _tensor(array) for name, array in record.items()}


def record_of(tensors: Mapping[str, Tensor]) -> ArrayRecord:
    """Return a record of tensors, with the same bytes as ``ArrayRecord(tensors)``.

    Args:
        tensors: by name, of any shapes and of NumPy's types.
    """
    record = ArrayRecord()
    for name, tensor in tensors.items():
        record[name] = _array(tensor.detach().cpu())
    return record


def quick(arrays: Mapping[str, Array]) -> ArrayRecord:
    """Return a record of arrays whose ``numpy()`` does not parse headers, for Flower's strategies.

    Args:
        arrays: by name; not modified.
    """
    record = ArrayRecord()
    for name, array in arrays.items():
        record[name] = _filled(_Quick, array.dtype, array.shape, array.stype, array.data)
    return record


class _Quick(Array):
    def numpy(self) -> NDArray[Any]:
        values = _values(self.stype, self.data)
        return super().numpy() if values is None else values


def _filled(
    kind: type[Array], dtype: str, shape: tuple[int, ...], stype: str, data: bytes
) -> Array:
    """Return an array of parts in order, which `Array.__init__` takes long to tell apart."""
    array = kind.__new__(kind)
    # Past `Array.__setattr__`, which forgets what no new array has.
    array.__dict__.update(dtype=dtype, shape=shape, stype=stype, data=data)
    return array


def _tensor(array: Array) -> Tensor:
    values = _values(array.stype, array.data)
    return torch.from_numpy(array.numpy() if values is None else values)


def _values(stype: str, data: bytes) -> NDArray[Any] | None:
    """Return the values of an array; None if Flower is to read it, or to refuse it."""
    if stype == _NPY and data.startswith(_MAGIC):
        begin = _START + int.from_bytes(data[len(_MAGIC) : _START], "little")
        layout = _layout(data[:begin])
        if layout is not None and layout.nbytes == len(data) - begin:
            values = np.frombuffer(data, layout.dtype, offset=begin).reshape(layout.shape)
            return values.copy()
    return None


@dataclass(frozen=True)
class _Layout:
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@lru_cache(_MOST)
def _layout(start: bytes) -> _Layout | None:
    """Return the layout that a header tells; None if NumPy is to read it, or to refuse it."""
    try:
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(
            BytesIO(start[len(_MAGIC) :])
        )
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if fortran_order or dtype.hasobject or dtype.itemsize == 0:
        return None
    return _Layout(shape, dtype)


def _array(tensor: Tensor) -> Array:
    if not tensor.is_contiguous():
        return Array.from_torch_tensor(tensor)
    values = tensor.numpy()
    dtype, start = _header(values.shape, values.dtype)
    return _filled(Array, dtype, values.shape, _NPY, start + values.tobytes())


@lru_cache(_MOST)
def _header(shape: tuple[int, ...], dtype: np.dtype) -> tuple[str, bytes]:
    """Return the name of a type, and the bytes before the values of an array in C order."""
    whole = BytesIO()
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(whole, header)
    return str(dtype), whole.getvalue()
