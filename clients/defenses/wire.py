"""Size of an upload on the wire."""

from collections.abc import Mapping

from torch import Tensor

from fedsim.clients.defenses.tensors import floating


def native_bits(tensor: Tensor) -> int:
    """Return the bits that one value of ``tensor`` takes in its own dtype."""
    return 8 * tensor.element_size()


def full_bits(upload: Mapping[str, Tensor]) -> int:
    """Return the bits of a value at full precision: 32 for a float32 upload."""
    return max((native_bits(x) for x in floating(upload).values()), default=32)


def payload_bytes(
    tensors: Mapping[str, Tensor], value_bits: int | None = None, overhead_bytes: int = 0
) -> int:
    """Return the size in bytes of a compact encoding of ``tensors``.

    The simulated message carries the tensors in their own dtype; this is the size with the encoding
    that a defense allows. Each floating-point tensor of n coordinates, of which z are not zero,
    takes the smaller of

    - dense: n values;
    - sparse: z values and their positions, either a bitmap of n bits or z indices of 4 bytes;

    rounded up to bytes. Tensors of other types are dense in their own dtype. Names, shapes, framing
    (which are the same for all defenses) and entropy coding are not counted.

    Args:
        tensors: the upload after all defenses, of any shapes.
        value_bits: bits that a value takes after the defenses, at most the bits of its dtype; None
            for the bits of its dtype.
        overhead_bytes: bytes in addition to the values, such as quantisation scales.
    """
    return overhead_bytes + sum(_tensor_bytes(x, value_bits) for x in tensors.values())


def _tensor_bytes(tensor: Tensor, value_bits: int | None) -> int:
    bits, count = native_bits(tensor), tensor.numel()
    if not tensor.is_floating_point():
        return _whole_bytes(count * bits)
    if value_bits is not None:
        bits = min(bits, value_bits)
    kept = int(tensor.count_nonzero())
    where = min(_whole_bytes(count), 4 * kept)
    return min(_whole_bytes(count * bits), _whole_bytes(kept * bits) + where)


def _whole_bytes(bits: int) -> int:
    return -(-bits // 8)
