"""Attacks on texts."""

from attacks.text.dager import Dager

__all__ = ["Dager"]
