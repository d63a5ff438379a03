"""What was attacked: cards of private examples, for the views of all modalities."""
