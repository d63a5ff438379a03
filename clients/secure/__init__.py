"""Client side of secure aggregation."""
