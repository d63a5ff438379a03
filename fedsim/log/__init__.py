"""The run log: its typed records, the run folder, and their summaries; without torch."""
