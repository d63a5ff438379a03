"""Curious server: aggregation, the eavesdropping strategy, and the adversary."""
