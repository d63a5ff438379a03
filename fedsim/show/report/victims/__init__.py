"""Cards of attacked examples, for the views of all modalities."""
