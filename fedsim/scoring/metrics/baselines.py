"""What someone scores who has seen no gradient at all.

A score is leakage only above its blind baselines: plain grey has some 12 dB against a typical
small photograph, and far more against a pale one.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedsim.core.names import NEAREST
from fedsim.scoring.metrics.images import ImageScores, score
from fedsim.scoring.metrics.verdict import GREY, MEAN

_CHUNK_VALUES = 4_000_000


def blind_baselines(
    originals: Tensor, public_images: Tensor | None = None
) -> dict[str, ImageScores]:
    """Return the scores of guesses that owe nothing to the upload.

    - ``"grey"``: every pixel 0.5.
    - ``"mean"``: the mean of the public pictures.
    - ``"nearest"``: for each original the public picture with the least squared error. The truth
      is used to choose it, so no guesser could: it is the best that *any* copy of a public
      picture could score, and by that the strictest of the three. It grows with the number of
      public pictures, which a report should state beside it. Its SSIM is that of the same
      picture, not the best SSIM among all.

    Args:
        originals: (N, C, H, W) in [0, 1], the private pictures.
        public_images: (M, C, H, W) in [0, 1], of the same kind and none of them private: a
            private one among them would be its own nearest. None, or M = 0, leaves only
            ``"grey"``.

    Raises:
        ValueError: the shapes do not fit or a picture leaves [0, 1].
    """
    baselines = {GREY: score(torch.full_like(originals, 0.5), originals)}
    if public_images is None or len(public_images) == 0:
        return baselines
    _check_public(originals, public_images)
    mean = public_images.mean(dim=0, keepdim=True, dtype=torch.float64).cpu()
    baselines[MEAN] = score(mean.expand(len(originals), -1, -1, -1), originals)
    nearest = public_images[nearest_public(originals, public_images).to(public_images.device)]
    baselines[NEAREST] = score(nearest, originals)
    return baselines


def nearest_public(originals: Tensor, public_images: Tensor) -> Tensor:
    """Return for each original the index of the public picture with the least squared error.

    Args:
        originals: (N, C, H, W).
        public_images: (M, C, H, W), M at least 1; read in chunks, so 10,000 pictures do no harm.

    Returns:
        (N,) int64; the first of several that are equally near.
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
    """Return (PSNR in dB, SSIM) of each baseline for one picture, as ``verdict`` takes them."""
    return {
        name: (float(scores.psnr[index]), float(scores.ssim[index]))
        for name, scores in baselines.items()
    }


def random_label_accuracy(num_classes: int) -> float:
    """Return the share of labels that a guesser has right who draws them evenly.

    Raises:
        ValueError: there is no class.
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
