"""The curious side: aggregation, the eavesdropping strategy, and the adversary."""
