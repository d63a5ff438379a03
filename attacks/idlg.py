"""Improved Deep Leakage from Gradients."""

from torch import Tensor, nn

from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.matching.attack import LBFGSMatching
from fedsim.attacks.types import Observation
from fedsim.core.registry import ATTACKS


@ATTACKS.register("idlg")
class IDLG(LBFGSMatching):
    """Improved DLG: the labels are read off the gradient first, then the data matched.

    Zhao, Mopuri, Bilen 2020 (arXiv 2001.02610), section 3.2. The label rule is exact for one
    example; beyond the paper, a batch's labels are estimated by their counts
    (`fedsim.attacks.labels.infer`). The loop is DLG's, with the same differences.
    """

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return known_or_inferred(model, observation)
