"""Server side of secure aggregation."""
