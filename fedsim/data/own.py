"""A PyTorch or Hugging Face data set as one that scenarios can name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from fedsim.core.errors import DataError
from fedsim.core.registry import DATASETS
from fedsim.core.seeds import derive
from fedsim.data.source import DatasetSource
from fedsim.data.types import Dataset, Split

TEST_SHARE = 0.2
"""Share of the examples that are held out for testing, if no other data set is given for it."""

_IMAGES, _LABELS = ("image", "img", "pixel_values"), ("label", "labels", "fine_label")


class Items(Protocol):
    """A map-style data set: ``(picture, label)``, or a mapping with both, at each position."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Any: ...


class OwnData(DatasetSource):
    """A data set of the user's own, in the class attributes ``train_items`` and ``test_items``."""

    named: ClassVar[str]
    train_items: ClassVar[Any]
    test_items: ClassVar[Any]

    def load(self, data_dir: Path | None) -> Dataset:
        """Read all pictures; ``data_dir`` is not used.

        Raises:
            DataError: a picture or a label is not one, or pictures differ in shape.
        """
        images, labels = _read(self.train_items)
        if self.test_items is None:
            generator = torch.Generator().manual_seed(derive(0, "own data"))
            order = torch.randperm(len(images), generator=generator)
            held = max(1, round(TEST_SHARE * len(images)))
            test, train = order[:held].sort().values, order[held:].sort().values
            parts = [(images[rows], labels[rows]) for rows in (train, test)]
        else:
            parts = [(images, labels), _read(self.test_items)]
        classes = _classes(self.train_items, max(int(part[1].max()) for part in parts) + 1)
        train_part, test_part = (Split(*part) for part in parts)
        return Dataset(self.named, train_part, test_part, classes)


def register_data(name: str, train: Items, test: Items | None = None) -> type[DatasetSource]:
    """Register a PyTorch or Hugging Face data set of pictures, and return its class.

    To be called in a plugin file (``fedsim run --plugin FILE``) or in a script; scenarios then name
    the data set. A second registration of a name replaces the first.

    Args:
        name: name in scenarios.
        train: pictures with their classes, shared out among the clients. A picture is one of
            Pillow's, or a tensor or array ``(C, H, W)``: bytes, or numbers in [0, 1], without
            normalisation, which belongs into the model.
        test: those that no client holds; a fifth of ``train`` if None.

    Raises:
        ValueError: another data set has the name.
    """

    class Registered(OwnData):
        """A data set of the user's own."""

    Registered.named, Registered.train_items, Registered.test_items = name, train, test
    Registered.__doc__ = f"A data set of the user's own: {type(train).__qualname__}."
    return DATASETS.register(name)(Registered)


def _read(items: Items) -> tuple[Tensor, Tensor]:
    """Return images ``(N, C, H, W)`` uint8 and labels ``(N,)`` int64."""
    pairs = list(_pairs(items))
    if not pairs:
        raise DataError("the data set is empty: expected pictures with their classes")
    shapes = {tuple(image.shape) for image, _ in pairs}
    if len(shapes) > 1:
        raise DataError(
            f"the pictures have the shapes {sorted(shapes)[:3]}: expected one; resize them in the "
            "data set's transform"
        )
    labels = torch.tensor([label for _, label in pairs], dtype=torch.int64)
    return torch.stack([image for image, _ in pairs]), labels


def _pairs(items: Items) -> Iterator[tuple[Tensor, int]]:
    for position in range(len(items)):
        item = items[position]
        if isinstance(item, Mapping):
            image, label = _entry(item, _IMAGES), _entry(item, _LABELS)
        else:
            image, label = item[0], item[1]
        try:
            yield _bytes(image), int(label)
        except (TypeError, ValueError) as error:
            raise DataError(f"example {position} of the data set: {error}") from None


def _entry(item: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in item:
            return item[name]
    raise DataError(f"an example has the keys {sorted(item)}: expected one of {', '.join(names)}")


def _bytes(image: Any) -> Tensor:
    """Return a picture as ``(C, H, W)`` uint8."""
    if hasattr(image, "convert"):  # one of Pillow's
        array = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        tensor = torch.from_numpy(array.copy())
        return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
    tensor = torch.as_tensor(image)
    tensor = tensor[None] if tensor.ndim == 2 else tensor
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        raise ValueError(f"a picture of shape {tuple(tensor.shape)}: expected (1 or 3, H, W)")
    if tensor.dtype == torch.uint8:
        return tensor
    if not tensor.is_floating_point() or not bool(((tensor >= 0) & (tensor <= 1)).all()):
        low, high = float(tensor.min()), float(tensor.max())
        raise ValueError(
            f"a picture with values from {low:.3g} to {high:.3g} of type {tensor.dtype}: expected "
            "bytes, or numbers in [0, 1]; take the normalisation out of the data set's transform "
            "and put it into the model"
        )
    return (tensor * 255).round().to(torch.uint8)


def _feature_names(items: Items) -> Any:
    """Return the class names of a Hugging Face data set, if it has them."""
    features = getattr(items, "features", None)
    if not isinstance(features, Mapping):
        return None
    return next((getattr(features[n], "names", None) for n in _LABELS if n in features), None)


def _classes(items: Items, count: int) -> tuple[str, ...]:
    """Return the names of classes: the data set's own, or numbers."""
    own = getattr(items, "classes", None) or _feature_names(items)
    if isinstance(own, (list, tuple)) and len(own) >= count:
        return tuple(map(str, own))
    return tuple(map(str, range(max(2, count))))
