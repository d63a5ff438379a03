"""Gradient matching: one loop, and what an attack of this family sets."""
