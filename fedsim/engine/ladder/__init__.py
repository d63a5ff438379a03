"""Ladder of an audit: one model from the easiest setting for an attack to the one that is run."""
