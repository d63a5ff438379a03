"""Export of runs to the tools in which people keep their experiments."""
