"""Gradient matching: the common loop and its components."""
