"""Assignment of reconstructions to the pictures of a batch.

A gradient is a sum over its batch, so an attack cannot know the batch's order. Each original gets a
different reconstruction: with the best one for each, a single good reconstruction could count for
several originals.

By the total squared error an exact reconstruction can go to another original, if failed ones beside
it gain more than it loses, and its leak is not counted. By the total PSNR it keeps its original.
"""

import torch
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from torch import Tensor

from fedsim.scoring.metrics.images import PSNR_CAP_DB


def match(reconstructed: Tensor, originals: Tensor) -> Tensor:
    """Return the one-to-one assignment with the greatest total PSNR.

    Solved exactly (scipy's ``linear_sum_assignment``). Reconstructions are clamped to [0, 1], as
    for scoring. A reconstruction that is not finite has the same cost for every original, higher
    than any other cost, so it goes to an original that is left over.

    Args:
        reconstructed: (M, C, H, W), in any order; more than B if the attacker of mixtures
            returns all pictures that were mixed.
        originals: (B, C, H, W) in [0, 1].

    Returns:
        (B,) int64: the index of each original's reconstruction, so that
        ``reconstructed[match(reconstructed, originals)]`` is in the order of the originals.

    Raises:
        ValueError: the shapes differ, or are not batches of pictures, or reconstructions are
            missing.
    """
    alike = reconstructed.shape[1:] == originals.shape[1:] and originals.ndim >= 2
    if not alike or len(reconstructed) < len(originals):
        raise ValueError(
            f"cannot match {tuple(reconstructed.shape)} to {tuple(originals.shape)}: "
            "expected (B, C, H, W) for both, or more reconstructions than originals"
        )
    guesses = reconstructed.detach().to("cpu", torch.float64).flatten(1)
    truths = originals.detach().to("cpu", torch.float64).flatten(1)
    usable = torch.isfinite(guesses).all(dim=1)
    errors = _squared_distances(truths, torch.nan_to_num(guesses).clamp(0, 1)) / truths.shape[1]
    errors[:, ~usable] = 2.0
    cost = errors.clamp_min(10 ** (-PSNR_CAP_DB / 10)).log10()
    _, chosen = linear_sum_assignment(cost.numpy())
    return torch.from_numpy(chosen).long()


def _squared_distances(truths: Tensor, guesses: Tensor) -> Tensor:
    """Return the distances with a row for each truth and a column for each guess.

    Summed from differences rather than from products, which lose the small distances.
    """
    distances = torch.cdist(truths, guesses, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.square()
