"""Comparisons: one scenario under many defenses, strengths and seeds, and what they come to."""
