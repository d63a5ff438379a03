"""Blind baselines: scores of guesses made without the gradient.

A score is evidence of leakage only above its blind baselines: plain grey has about 12 dB against a
typical small photograph, and far more against a pale one.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedsim.core.names import CLASS_MEAN, NEAREST, NEAREST_OF_CLASS, PRIOR, TONE
from fedsim.scoring.metrics.images import ImageScores, score

GREY = "grey"
MEAN = "mean"

_CHUNK_VALUES = 4_000_000


def blind_guesses(
    originals: Tensor,
    public_images: Tensor | None = None,
    public_labels: Tensor | None = None,
    found: Sequence[int | None] | None = None,
    prior: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return guesses that do not use the upload, (N, C, H, W) each, by name.

    - ``"grey"``: every pixel 0.5.
    - ``"tone"``: the original's own mean in each channel, which is the best constant.
    - ``"mean"``: the mean of the public pictures.
    - ``"nearest"``: for each original the public picture with the least squared error. The truth
      is used to choose it, so a guesser could not: it is the best score of *any* copy of a public
      picture. It grows with the number of public pictures, which a report should state with it.
    - ``"class mean"``, ``"nearest of class"``: the same among the public pictures of the class that
      the attack found. Where it found none, or a class without public pictures, they are the mean
      and the nearest of all.
    - ``"prior"``: the given reconstruction with the gradient withheld.

    Args:
        originals: (N, C, H, W) in [0, 1], the private pictures.
        public_images: (M, C, H, W) in [0, 1], similar to the originals but not private: a private
            picture would be its own nearest. None, or M = 0, leaves only the constants.
        public_labels: (M,), the classes of the public pictures.
        found: the class that the attack found for each original, or None for it.
        prior: (N, C, H, W), what the attack finds without the gradient.

    Raises:
        ValueError: the shapes differ or a picture leaves [0, 1].
    """
    tone = originals.double().mean((2, 3), keepdim=True).expand_as(originals)
    guesses = {GREY: torch.full_like(originals, 0.5), TONE: tone}
    if prior is not None:
        guesses[PRIOR] = prior
    if public_images is None or len(public_images) == 0:
        return guesses
    _check_public(originals, public_images)
    guesses[MEAN] = _mean(public_images).expand(len(originals), -1, -1, -1)
    guesses[NEAREST] = _nearest(originals, public_images)
    if found is None or public_labels is None or all(label is None for label in found):
        return guesses
    means, nearest = guesses[MEAN].clone(), guesses[NEAREST].clone()
    for label in {label for label in found if label is not None}:
        rows = torch.tensor([at for at, each in enumerate(found) if each == label])
        own = public_images[public_labels == label]
        if len(own):
            means[rows] = _mean(own)
            nearest[rows] = _nearest(originals[rows], own)
    return {**guesses, CLASS_MEAN: means, NEAREST_OF_CLASS: nearest}


def _mean(pictures: Tensor) -> Tensor:
    return pictures.mean(dim=0, keepdim=True, dtype=torch.float64).cpu()


def _nearest(originals: Tensor, public_images: Tensor) -> Tensor:
    return public_images[nearest_public(originals, public_images).to(public_images.device)]


def blind_baselines(
    originals: Tensor, public_images: Tensor | None = None
) -> dict[str, ImageScores]:
    """Return the scores of `blind_guesses`; arguments and errors are the same."""
    guesses = blind_guesses(originals, public_images)
    return {name: score(guess, originals) for name, guess in guesses.items()}


def nearest_public(originals: Tensor, public_images: Tensor) -> Tensor:
    """Return for each original the index of the public picture with the least squared error.

    Args:
        originals: (N, C, H, W).
        public_images: (M, C, H, W), M at least 1; read in chunks to limit the memory.

    Returns:
        (N,) int64; the first of several equally near ones.
    """
    truths = originals.detach().to("cpu", torch.float64).flatten(1)
    best = torch.full((len(truths),), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(truths), dtype=torch.int64)
    size = max(1, _CHUNK_VALUES // max(1, truths.shape[1]))
    for start in range(0, len(public_images), size):
        chunk = public_images[start : start + size].detach().to("cpu", torch.float64).flatten(1)
        near, at = torch.cdist(truths, chunk).min(dim=1)
        closer = near < best
        best = torch.where(closer, near, best)
        index = torch.where(closer, at + start, index)
    return index


def of_picture(baselines: Mapping[str, ImageScores], index: int) -> dict[str, tuple[float, float]]:
    """Return (PSNR in dB, SSIM) of each baseline for one picture, as ``verdict`` needs them."""
    return {
        name: (float(scores.psnr[index]), float(scores.ssim[index]))
        for name, scores in baselines.items()
    }


def random_label_accuracy(num_classes: int) -> float:
    """Return the expected accuracy of labels drawn uniformly.

    Raises:
        ValueError: the number of classes is below 1.
    """
    if num_classes < 1:
        raise ValueError(f"expected at least one class, not {num_classes}")
    return 1 / num_classes


def _check_public(originals: Tensor, public_images: Tensor) -> None:
    if public_images.shape[1:] != originals.shape[1:]:
        raise ValueError(
            f"public pictures of shape {tuple(public_images.shape[1:])} cannot be compared with "
            f"private ones of shape {tuple(originals.shape[1:])}: load both the same way"
        )
