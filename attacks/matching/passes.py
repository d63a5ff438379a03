"""Later passes of a local training, whose order of the examples is not known."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from fedsim.attacks.matching.space import Batch, PixelSpace
from fedsim.attacks.types import Observation, Reconstruction


class PassesSpace(PixelSpace):
    """Pictures of several passes over the same examples, in the order in which each takes them.

    Dimitrov et al., TMLR 2022 (arXiv 2206.12395): each pass has dummies of its own, and
    a prior (`disagreement`) makes the passes agree up to their order. Later passes are assigned to
    the first by the squared distance of pictures, and averaged, as in the authors' code. The
    objective of a result is that of the passes' own dummies. Labels of later passes are in the
    first order, or in a random one; that order is still a guess.

    Args:
        model: the attacked model.
        observation: the victim.
        dtype: dtype of decoded data.
        passes: number of passes.
    """

    def __init__(
        self, model: nn.Module, observation: Observation, dtype: torch.dtype, *, passes: int
    ) -> None:
        count = passes * observation.batch_size
        super().__init__(model, replace(observation, batch_size=count, labels=None), dtype)
        self._passes = passes

    def from_initial(self, initial: Reconstruction, start: Tensor) -> Tensor:
        """Return the point of an initial reconstruction, the same for each pass."""
        if initial.data is None:
            return start
        return super().from_initial(initial, start).repeat(self._passes)

    def given(self, data: Tensor, target: Tensor) -> Batch:
        """Return the pictures in the same order for each pass, and their labels unchanged."""
        return super().given(torch.cat([data] * self._passes), target)

    def decode(self, points: Tensor) -> Tensor:
        """Return the mean of each example over the passes, ``(A, batch_size, ...)``."""
        return torch.stack([merged(lane, self._passes) for lane in super().decode(points)])


def merged(pictures: Tensor, passes: int) -> Tensor:
    """Return the means of those pictures of each pass that are nearest to the first pass's.

    Args:
        pictures: of all passes, one pass after the other, ``(passes x N, ...)``.
        passes: number of passes.

    Returns:
        ``(N, ...)``.
    """
    from scipy.optimize import (  # type: ignore[import-untyped]  # noqa: PLC0415
        linear_sum_assignment,
    )

    first, *later = pictures.chunk(passes)
    total = first
    for other in later:
        costs = torch.cdist(first.flatten(1).double(), other.flatten(1).double()) ** 2
        total = total + other[torch.as_tensor(linear_sum_assignment(costs.cpu().numpy())[1])]
    return total / passes


def disagreement(pictures: Tensor, passes: int) -> Tensor:
    """Return the mean squared distance of each pass's mean picture from that of all passes.

    The statistic is invariant to the order of a pass's examples. It is that of the authors' scripts
    (``l2_mean``), of which theirs is the mean over pairs of passes, which is twice this; their code
    has maxima and random convolutions too.

    Args:
        pictures: of all passes, one pass after the other, ``(passes x N, ...)``.
        passes: number of passes.
    """
    means = pictures.view(passes, -1, *pictures.shape[1:]).mean(dim=1)
    return ((means - means.mean(dim=0)) ** 2).mean()
