"""Optimisers for batches of independent problems."""

from fedsim.attacks.matching.optimisers.base import Lanes, Optimiser
from fedsim.attacks.matching.optimisers.driver import Ended, Evaluate, Minimisation, Observe
from fedsim.attacks.matching.optimisers.lbfgs import LBFGS
from fedsim.attacks.matching.optimisers.signed_adam import SignedAdam

__all__ = [
    "LBFGS",
    "Ended",
    "Evaluate",
    "Lanes",
    "Minimisation",
    "Observe",
    "Optimiser",
    "SignedAdam",
]
