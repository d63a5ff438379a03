"""Contract of data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedsim.core.modality import PICTURES, TEXTS
from fedsim.data import Dataset, DatasetSource, TextDataset
from fedsim.testing.contract import Claim, Subject, expect, expect_equal


def claims(cls: type[DatasetSource], data_dir: Path | None) -> list[Claim]:
    """Return the claims about a class of data sets.

    Args:
        cls: the class.
        data_dir: folder of its files, if it needs any.
    """

    def it_loads_what_its_modality_says(subject: Subject) -> None:
        loaded = subject.make().load(data_dir)
        kinds: dict[str, type[Any]] = {PICTURES: Dataset, TEXTS: TextDataset}
        expected = kinds.get(cls.modality)
        if expected is not None:
            right = isinstance(loaded, expected)
            expect(right, f"loaded a {type(loaded).__name__}, expected {expected.__name__}")
        expect(bool(loaded.name), "the data set has no name")
        expect(len(loaded.classes) >= 2, f"{len(loaded.classes)} classes, expected two or more")
        expect(len(set(loaded.classes)) == len(loaded.classes), "two classes have one name")

    def loading_twice_gives_the_same(subject: Subject) -> None:
        one, other = subject.make().load(data_dir), subject.make().load(data_dir)
        for part in ("train", "test"):
            first, second = getattr(one, part), getattr(other, part)
            expect(len(first) > 0, f"{part}: no examples")
            expect(len(first) == len(second), f"{part}: another number of examples")
            if isinstance(one, Dataset):
                expect_equal(first.images, second.images, f"{part}: other pictures")
                expect_equal(first.labels, second.labels, f"{part}: other labels")
            else:
                expect(first == second, f"{part}: other examples")

    def batches_are_pictures_in_range(subject: Subject) -> None:
        loaded = subject.make().load(data_dir)
        images, labels = loaded.train.batch(np.arange(min(3, len(loaded.train))))
        expect(images.dtype == torch.float32, f"pictures are of {images.dtype}")
        inside = bool(((images >= 0) & (images <= 1)).all())
        expect(inside, "pictures are outside of [0, 1]")
        expect(images.shape[1:] == loaded.image_shape, f"pictures of shape {images.shape[1:]}")
        expect(labels.dtype == torch.int64, f"labels are of {labels.dtype}")

    found: list[Claim] = [it_loads_what_its_modality_says, loading_twice_gives_the_same]
    return [*found, batches_are_pictures_in_range] if cls.modality == PICTURES else found
