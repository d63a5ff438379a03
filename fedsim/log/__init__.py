"""The run log: what a run writes and what readers get back, without torch."""
