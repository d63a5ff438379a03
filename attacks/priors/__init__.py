"""What is known of the data before anything is observed: one file for each prior."""

from attacks.priors.base import Prior
from attacks.priors.l2 import L2
from attacks.priors.learned import Learned
from attacks.priors.total_variation import TotalVariation

__all__ = ["L2", "Learned", "Prior", "TotalVariation"]
