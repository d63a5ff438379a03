"""Scores of reconstructed pictures against the originals, per picture.

Scores are never pooled over a batch: the mean PSNR of a perfect and a failed reconstruction
differs from the PSNR of their mean error. Everything is computed in float64 on the
CPU, so that the same picture has the same score wherever the attack ran.

A reconstruction is clamped to [0, 1] before it is scored, as it would be for display; scoring a
reconstruction with a NaN or an infinity is an error, so that it can never be taken for a low score
(see ``scorable``).
"""

from dataclasses import dataclass

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

PSNR_CAP_DB = 100.0
"""Cap of the PSNR, which is infinite for identical pictures; keeps means and files finite."""

FINE = 1 / 14
"""Sigma of the blur that separates fine detail, as a fraction of a picture's shorter side: 2 pixels
of 28."""

CHUNK = 128
"""Pictures that are compared at once, which bounds the memory of a large batch's scores."""

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
_SIGMAS_PER_RADIUS = 3.5
_K = (0.01**2, 0.03**2)
_RANGE_TOLERANCE = 1e-6
_NO_DETAIL = 1e-12
"""Sum of squares below which the fine detail is rounding noise of a plain picture."""


@dataclass(frozen=True)
class ImageScores:
    """Scores of N pictures.

    Attributes:
        mse: mean squared error, (N,), in [0, 1]; lower is closer.
        psnr: peak signal-to-noise ratio in dB, (N,), at most ``PSNR_CAP_DB``.
        ssim: structural similarity, (N,), in [-1, 1].
        detail: share of the original's fine detail in the reconstruction, (N,).
    """

    mse: Tensor
    psnr: Tensor
    ssim: Tensor
    detail: Tensor


def score(reconstructed: Tensor, originals: Tensor) -> ImageScores:
    """Return all scores of N reconstructions, each against the original of the same index.

    Args:
        reconstructed: (N, C, H, W), clamped to [0, 1] here.
        originals: (N, C, H, W) in [0, 1].

    Raises:
        ValueError: the shapes differ or are not (N, C, H, W), a reconstruction is not finite, or
            an original leaves [0, 1].
    """
    measures = (mse, psnr, ssim, detail)
    chunks = [
        [measure(*pair) for measure in measures]
        for pair in zip(
            torch.split(reconstructed, CHUNK), torch.split(originals, CHUNK), strict=True
        )
    ]
    return ImageScores(*map(torch.cat, zip(*chunks, strict=True)))


def scorable(reconstructed: Tensor) -> Tensor:
    """Return a mask of the finite reconstructions, which can be scored; bool, (N,)."""
    return torch.isfinite(reconstructed.detach()).flatten(1).all(dim=1).cpu()


def mse(reconstructed: Tensor, originals: Tensor) -> Tensor:
    """Return the mean squared error of each picture, (N,) float64. See ``score`` for arguments."""
    guess, truth = comparable(reconstructed, originals)
    return (guess - truth).square().flatten(1).mean(dim=1)


def psnr(reconstructed: Tensor, originals: Tensor) -> Tensor:
    """Return the PSNR of each picture in dB for a peak of 1, (N,) float64.

    ``-10 log10(MSE)``, capped at ``PSNR_CAP_DB``, which is below the rounding noise of float32
    pictures. See ``score`` for arguments.
    """
    return -10 * mse(reconstructed, originals).clamp_min(10 ** (-PSNR_CAP_DB / 10)).log10()


def ssim(reconstructed: Tensor, originals: Tensor) -> Tensor:
    """Return the structural similarity of each picture, (N,) float64. See ``score`` for arguments.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004:
    a Gaussian window of 11x11 and sigma 1.5, K = (0.01, 0.03), a data range of 1. The pictures are
    mirrored at their border and the mean is taken over all pixels and channels, while Wang's code
    (and scikit-image) omit the border, which is more than half of a 28x28 picture.

    A picture with a side below 11 is compared with the largest odd window that fits, and a matching
    sigma: scores of such pictures are not comparable with scores of larger ones. With a side
    below 3 the window is one pixel and only brightness is compared.
    """
    guess, truth = comparable(reconstructed, originals)
    shorter = min(truth.shape[-2:])
    height, width = (_window(side, shorter) for side in truth.shape[-2:])
    pair = torch.stack([guess, truth, guess.square(), truth.square(), guess * truth])
    mean, own, square, own_square, product = height @ pair @ width.T
    variance = (square - mean.square()).clamp_min(0) + (own_square - own.square()).clamp_min(0)
    brightness = (2 * mean * own + _K[0]) / (mean.square() + own.square() + _K[0])
    structure = (2 * (product - mean * own) + _K[1]) / (variance + _K[1])
    scores: Tensor = (brightness * structure).mean((1, 2, 3))
    return scores


def detail(reconstructed: Tensor, originals: Tensor) -> Tensor:
    """Return the share of each original's fine detail in its reconstruction, (N,) float64.

    The fine detail of a picture is its difference from a Gaussian blur of it (``FINE``). The share
    is the factor that, multiplied with the original's detail, comes closest to the
    reconstruction's detail: 1 for the original, also with noise, because noise is uncorrelated
    with pictures; 0 for a plain picture; below 0 for an inverted one. PSNR and SSIM both overrate a
    smooth smudge in the right place; this metric does not. The share is 1 for an original without
    detail. See ``score`` for arguments.
    """
    guess, truth = (_fine(x) for x in comparable(reconstructed, originals))
    power = truth.square().sum(dim=1)
    share = (guess * truth).sum(dim=1) / power.clamp_min(torch.finfo(power.dtype).tiny)
    return torch.where(power > _NO_DETAIL, share, 1.0)


def _fine(pictures: Tensor) -> Tensor:
    """Return the difference of each picture from its blur, (N, C * H * W)."""
    sigma = FINE * min(pictures.shape[-2:])
    blurred = gaussian_filter(pictures.numpy(), (0, 0, sigma, sigma), mode="nearest")
    return (pictures - torch.from_numpy(blurred)).flatten(1)


def _window(length: int, shorter: int) -> Tensor:
    """Return the Gaussian window of `ssim` along one side, mirrored at the border, as a matrix.

    Args:
        length: length of the side in pixels.
        shorter: that of the shorter side, into which the window fits.

    Returns:
        ``(length, length)`` float64: the weights of all pixels for each pixel.
    """
    radius = (min(shorter, SSIM_WINDOW) - 1) // 2
    sigma = SSIM_SIGMA if radius == SSIM_WINDOW // 2 else max(radius, 0.1) / _SIGMAS_PER_RADIUS
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-(offsets.double() / sigma).square() / 2)
    pixels = (torch.arange(length)[:, None] + offsets).abs()
    pixels = torch.where(pixels < length, pixels, 2 * (length - 1) - pixels)
    rows = torch.zeros(length, length, dtype=torch.float64)
    return rows.scatter_add_(1, pixels, (weights / weights.sum()).expand(length, -1))


def comparable(reconstructed: Tensor, originals: Tensor) -> tuple[Tensor, Tensor]:
    """Check both and return them as float64 on the CPU, the reconstruction clamped.

    See ``score`` for arguments and errors.
    """
    if reconstructed.shape != originals.shape or originals.ndim != 4:
        raise ValueError(
            f"cannot compare pictures of shapes {tuple(reconstructed.shape)} and "
            f"{tuple(originals.shape)}: expected the same (N, C, H, W) for both"
        )
    guess = reconstructed.detach().to("cpu", torch.float64)
    truth = originals.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(guess).all()):
        raise ValueError(
            "a reconstruction holds NaN or infinity and cannot be scored: "
            "omit those for which scorable() is false"
        )
    if not bool(((truth >= -_RANGE_TOLERANCE) & (truth <= 1 + _RANGE_TOLERANCE)).all()):
        raise ValueError("an original leaves [0, 1]: undo its normalisation before scoring")
    return guess.clamp(0, 1), truth
