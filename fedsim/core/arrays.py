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

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from torch import Tensor

_MAGIC = np.lib.format.magic(1, 0)
_START = len(_MAGIC) + 2
"""Bytes before the header: the magic, and the header's length."""
_MOST = 1024
"""Maximum number of different headers that are remembered."""
_NPY = "numpy.ndarray"
"""Flower's name of this serialisation."""


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


def _tensor(array: Array) -> Tensor:
    data = array.data
    if array.stype == _NPY and data.startswith(_MAGIC):
        begin = _START + int.from_bytes(data[len(_MAGIC) : _START], "little")
        layout = _layout(data[:begin])
        if layout is not None and layout.nbytes == len(data) - begin:
            values = np.frombuffer(data, layout.dtype, offset=begin).reshape(layout.shape)
            return torch.from_numpy(values.copy())
    return torch.from_numpy(array.numpy())


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
    start = _header(values.shape, values.dtype.str)
    return Array(str(values.dtype), tuple(values.shape), _NPY, start + values.tobytes())


@lru_cache(_MOST)
def _header(shape: tuple[int, ...], descr: str) -> bytes:
    """Return the bytes before the values of an array in C order."""
    whole = BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(whole, header)
    return whole.getvalue()
