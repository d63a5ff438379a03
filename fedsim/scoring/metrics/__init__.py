"""Metrics of reconstructions, blind baselines, and verdicts.

Import from the modules: ``images`` (scores), ``matching`` (assignment of reconstructions to
originals) and ``baselines`` (scores of blind guesses) need torch; ``verdict`` does not, so that
code that only reads a finished run's log can use it without loading torch.
"""
