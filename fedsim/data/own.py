"""A PyTorch or Hugging Face data set as one that scenarios can name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from fedsim.core.errors import DataError
from fedsim.core.registry import DATASETS
from fedsim.core.seeds import derive
from fedsim.data.source import DatasetSource
from fedsim.data.targets import Parts, assembled, target_of
from fedsim.data.types import Dataset, Split

TEST_SHARE = 0.2
"""Share of the examples that are held out for testing, if no other data set is given for it."""

_IMAGES, _LABELS = ("image", "img", "pixel_values"), ("label", "labels", "fine_label", "target")


class Items(Protocol):
    """A map-style data set: ``(picture, target)``, or a mapping with both, at each position."""

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
            DataError: a picture or a target is not one, or they differ in form.
        """
        images, targets = _read(self.train_items)
        if self.test_items is None:
            generator = torch.Generator().manual_seed(derive(0, "own data"))
            order = torch.randperm(len(images), generator=generator)
            held = max(1, round(TEST_SHARE * len(images)))
            test, train = order[:held].sort().values, order[held:].sort().values
            parts = [(images[rows], [targets[i] for i in rows.tolist()]) for rows in (train, test)]
        else:
            parts = [(images, targets), _read(self.test_items)]
        wanted = assembled([own for _, own in parts])
        train_part, test_part = (
            Split.of(own, each) for (own, _), each in zip(parts, wanted, strict=True)
        )
        classes = _classes(self.train_items, (train_part, test_part))
        return Dataset(self.named, train_part, test_part, classes)


def register_data(name: str, train: Items, test: Items | None = None) -> type[DatasetSource]:
    """Register a PyTorch or Hugging Face data set of pictures, and return its class.

    To be called in a plugin file (``fedsim run --plugin FILE``) or in a script; scenarios then name
    the data set. A second registration of a name replaces the first.

    Args:
        name: name in scenarios.
        train: pictures with their targets, shared out among the clients. A picture is one of
            Pillow's, or a tensor or array ``(C, H, W)``: bytes, or numbers in [0, 1], without
            normalisation, which belongs into the model. A target is a class (a whole number); a
            list or array of zeros and ones, for several labels; a floating number, or a list of
            them, for a regression; or a tuple or mapping of these, one for each head of a model.
        test: those that no client holds; a fifth of ``train`` if None.

    Raises:
        ValueError: another data set has the name.
    """

    class Registered(OwnData):
        """A data set of the user's own."""

    Registered.named, Registered.train_items, Registered.test_items = name, train, test
    Registered.__doc__ = f"A data set of the user's own: {type(train).__qualname__}."
    return DATASETS.register(name)(Registered)


def _read(items: Items) -> tuple[Tensor, list[Parts]]:
    """Return images ``(N, C, H, W)`` uint8, and the target of each."""
    pairs = list(_pairs(items))
    if not pairs:
        raise DataError("the data set is empty: expected pictures with their targets")
    shapes = {tuple(image.shape) for image, _ in pairs}
    if len(shapes) > 1:
        raise DataError(
            f"the pictures have the shapes {sorted(shapes)[:3]}: expected one; resize them in the "
            "data set's transform"
        )
    return torch.stack([image for image, _ in pairs]), [target for _, target in pairs]


def _pairs(items: Items) -> Iterator[tuple[Tensor, Parts]]:
    first: Any = None
    for position in range(len(items)):
        item = items[position]
        if isinstance(item, Mapping):
            image, target = _entry(item, _IMAGES), _entry(item, _LABELS)
        else:
            image, target = item[0], item[1]
        try:
            yield _bytes(image), target_of(target, first)
            first = target if first is None and isinstance(target, Mapping) else first
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
    found = next((features[n] for n in _LABELS if n in features), None)
    return getattr(getattr(found, "feature", found), "names", None)  # of a sequence, its entries


def _classes(items: Items, splits: Sequence[Split]) -> tuple[str, ...]:
    """Return the names of classes, or of the entries of targets: the data's own, or numbers."""
    own = getattr(items, "classes", None) or _feature_names(items)
    named = tuple(map(str, own)) if isinstance(own, list | tuple) else ()
    targets = splits[0].targets
    if targets is not None:
        return named if len(named) == targets.width else tuple(map(str, range(targets.width)))
    count = 1 + max(int(split.labels.max()) for split in splits)
    return named if len(named) >= count else tuple(map(str, range(max(2, count))))
