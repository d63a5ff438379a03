"""Deep Leakage from Gradients."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from fedsim.attacks.matching.attack import LBFGSMatching
from fedsim.attacks.matching.space import space_type
from fedsim.attacks.types import Observation, Reconstruction, ShouldStop, never_stop
from fedsim.core.registry import ATTACKS


@ATTACKS.register("dlg")
class DLG(LBFGSMatching):
    """Deep Leakage from Gradients: data and labels are optimised together.

    Zhu, Liu, Han, NeurIPS 2019 (arXiv 1906.08935), section 3 and algorithm 1: dummy data and dummy
    label logits are adjusted until the squared distance between their gradient and the shared one
    vanishes. There are three differences. The L-BFGS has a line search, because the paper's plain
    one diverges for some starts; the data start at mid-grey and the logits at zero (``start =
    "normal"`` uses the paper's N(0, 1)); and all victims are one batch. Labels that the threat
    model makes public replace the dummy labels. Texts (section 4.2) are optimised in embedding
    space (`fedsim.attacks.text.space`); if the gradients of the embeddings were shared, the search
    starts from the tokens that they reveal (`BagOfTokens`).
    """

    modalities: ClassVar[frozenset[str] | None] = None

    def initial(
        self,
        model: nn.Module,
        observations: Mapping[int, Observation],
        should_stop: ShouldStop = never_stop,
    ) -> Mapping[int, Reconstruction]:
        """Return the data that uploads reveal without a search, if any."""
        space = space_type(model)
        found = {i: space.read(model, o) for i, o in observations.items()}
        return {i: initial for i, initial in found.items() if initial is not None}

    def _labels(self, model: nn.Module, observation: Observation) -> Tensor | None:
        return observation.labels
