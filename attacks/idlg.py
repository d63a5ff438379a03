"""Improved Deep Leakage from Gradients."""

from torch import Tensor, nn

from fedsim.attacks.matching.attack import LBFGSMatching
from fedsim.attacks.types import Observation
from fedsim.core.registry import ATTACKS


@ATTACKS.register("idlg")
class IDLG(LBFGSMatching):
    """Improved DLG: labels are read off the gradient first, then the gradient is matched.

    Zhao, Mopuri, Bilen 2020 (arXiv 2001.02610), section 3.2. The label rule is exact for one
    example; beyond the paper, a batch's labels are estimated from their counts
    (`fedsim.attacks.labels.infer`). The loop is that of `DLG`, with its differences from the paper.
    """

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return self.known_or_inferred(model, observation)
