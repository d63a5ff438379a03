"""Attacks on texts."""

from attacks.text.bag_reading import BagOfTokens
from attacks.text.dager import Dager

__all__ = ["BagOfTokens", "Dager"]
