"""Attacks on texts."""
