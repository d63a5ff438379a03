"""Optimisers for many independent problems at once."""

from attacks.optimisers.base import Lanes, Optimiser
from attacks.optimisers.driver import Ended, Evaluate, Minimisation, Observe
from attacks.optimisers.lbfgs import LBFGS
from attacks.optimisers.signed_adam import SignedAdam

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
