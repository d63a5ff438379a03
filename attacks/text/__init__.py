"""Attacks on texts."""

from fedsim.attacks.text.bag_reading import BagOfTokens
from fedsim.attacks.text.dager import Dager
from fedsim.attacks.text.lamp import Lamp
from fedsim.attacks.text.tag import Tag

__all__ = ["BagOfTokens", "Dager", "Lamp", "Tag"]
