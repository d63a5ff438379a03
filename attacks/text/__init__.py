"""Attacks on texts."""

from attacks.text.bag_reading import BagOfTokens
from attacks.text.dager import Dager
from attacks.text.lamp import Lamp
from attacks.text.tag import Tag

__all__ = ["BagOfTokens", "Dager", "Lamp", "Tag"]
