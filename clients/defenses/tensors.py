"""Functions shared by defenses: changes to all floating-point tensors, and their size."""

from collections.abc import Callable, Mapping

from torch import Tensor


def floating(upload: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that defenses change: non-empty floating-point tensors."""
    return {name: x for name, x in upload.items() if x.is_floating_point() and x.numel()}


def map_floating(
    upload: Mapping[str, Tensor], change: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Return ``upload`` with ``change`` applied to each floating-point tensor.

    Tensors of other types (a BatchNorm counter) and empty tensors are unchanged.
    """
    return {**upload, **{name: change(x) for name, x in floating(upload).items()}}


def rms_change(
    name: str, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> dict[str, float]:
    """Return ``{name: root mean square of after - before}`` over floating-point coordinates.

    Empty if there are no such coordinates.
    """
    squares, count = 0.0, 0
    for key, x in floating(before).items():
        squares += float((after[key].double() - x.double()).square().sum())
        count += x.numel()
    return {name: (squares / count) ** 0.5} if count else {}


def kept_fraction(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the share of coordinates that are not zero, as ``kept_fraction``."""
    values = floating(tensors).values()
    count = sum(x.numel() for x in values)
    kept = sum(int(x.count_nonzero()) for x in values)
    return {"kept_fraction": kept / count} if count else {}
