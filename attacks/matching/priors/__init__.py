"""Priors of the data: one file for each."""

from fedsim.attacks.matching.priors.base import Prior
from fedsim.attacks.matching.priors.l2 import L2
from fedsim.attacks.matching.priors.learned import Learned
from fedsim.attacks.matching.priors.total_variation import TotalVariation

__all__ = ["L2", "Learned", "Prior", "TotalVariation"]
