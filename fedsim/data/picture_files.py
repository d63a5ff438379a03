"""Pictures of a folder, split into training and test images."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from fedsim.core.errors import DataError
from fedsim.data.images import IMAGE_SUFFIXES, read_image
from fedsim.data.types import Split


def image_files(folder: Path, *, nested: bool = True) -> list[Path]:
    """List the pictures in a folder by their suffix, sorted.

    Args:
        folder: the folder. Hidden files and folders are skipped.
        nested: whether to search sub-folders too.
    """
    found = folder.rglob("*") if nested else folder.iterdir()
    return sorted(
        path
        for path in found
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def read_splits(
    files: Sequence[Path],
    labels: Sequence[int],
    root: Path,
    shape: tuple[int, int, int],
    test_fraction: float,
) -> tuple[Split, Split]:
    """Read pictures and hold out some of them.

    Args:
        files: the pictures.
        labels: the label of each.
        root: the folder that the pictures' names are relative to.
        shape: channels, height and width of the resized pictures.
        test_fraction: the fraction to hold out, in (0, 1).

    Returns:
        The training and the test images.

    Raises:
        DataError: there are fewer than two pictures, or a picture is broken.
    """
    if len(files) < 2:
        raise DataError(
            f"{root} holds {len(files)} picture(s) to use: expected at least 2, one to train on "
            f"and one to test on, with a suffix among {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    names = [path.relative_to(root).as_posix() for path in files]
    test = held_out(names, labels, test_fraction)
    rows = [row for row in range(len(files)) if row not in test]
    return tuple(  # type: ignore[return-value]
        Split(
            torch.stack([read_image(files[row], shape) for row in part]),
            torch.tensor([labels[row] for row in part], dtype=torch.int64),
        )
        for part in (rows, sorted(test))
    )


def held_out(names: Sequence[str], labels: Sequence[int], fraction: float) -> set[int]:
    """Choose the test images from their names alone, in proportion from every class.

    Args:
        names: a name for each image.
        labels: the label of each image.
        fraction: the fraction to hold out, in (0, 1).

    Returns:
        The positions held out: at least one, but not all.
    """
    digests = [hashlib.blake2b(name.encode()).digest() for name in names]
    members: dict[int, list[int]] = {}
    for row in sorted(range(len(names)), key=digests.__getitem__):
        members.setdefault(labels[row], []).append(row)
    # A rank in (0, 1) within its class: cutting all ranks at one height cuts each class there.
    ranks = {
        row: ((place + 0.5) / len(rows), digests[row])
        for rows in members.values()
        for place, row in enumerate(rows)
    }
    count = min(max(1, round(fraction * len(names))), len(names) - 1)
    return set(sorted(ranks, key=ranks.__getitem__)[:count])
