"""Rows as unknowns of an attack."""

from torch import Tensor

from fedsim.attacks.matching.space import PixelSpace


class TableSpace(PixelSpace):
    """Numbers without bounds."""

    modality = "tables"

    def decode(self, points: Tensor) -> Tensor:
        return points.view(-1, *self.shape).to(self._dtype)

    def project(self, points: Tensor) -> Tensor:
        return points
