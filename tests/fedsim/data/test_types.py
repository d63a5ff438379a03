import numpy as np
import pytest
import torch

from fedsim.core.errors import DataError
from fedsim.data import Dataset, Split


def split(count: int = 4, size: int = 3, label: int = 1) -> Split:
    images = torch.arange(count * size * size, dtype=torch.uint8).reshape(count, 1, size, size)
    return Split(images, torch.full((count,), label))


def test_batch_is_what_a_model_takes() -> None:
    images, labels = split().batch(np.array([2, 0]))
    assert images.shape == (2, 1, 3, 3)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    torch.testing.assert_close(images[0, 0, 0, 0], torch.tensor(18 / 255))
    assert images.min() >= 0
    assert images.max() <= 1


def test_batch_is_a_copy() -> None:
    whole = split()
    images, _ = whole.batch(np.array([0]))
    images += 1
    assert whole.images[0, 0, 0, 0] == 0


def test_dataset_tells_its_shape() -> None:
    data = Dataset("x", split(), split(2), ("a", "b"))
    assert data.image_shape == (1, 3, 3)
    assert data.num_classes == 2
    assert len(data.train) == 4


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (torch.zeros(2, 1, 3, 3), torch.zeros(2).long(), "float32"),
        (torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(2).long(), "N, C, H, W"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(3).long(), "2 images"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2), "int64"),
    ],
)
def test_a_wrong_split_is_refused(images: torch.Tensor, labels: torch.Tensor, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Split(images, labels)


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (split(0), split(), "no training images"),
        (split(), split(0), "no test images"),
        (split(label=5), split(), "labels from 5 to 5"),
        (split(), split(size=2), "expected the same"),
    ],
)
def test_a_wrong_dataset_is_refused(train: Split, test: Split, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Dataset("x", train, test, ("a", "b"))
