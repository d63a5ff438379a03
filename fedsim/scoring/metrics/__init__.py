"""How close a reconstruction came to the private picture, and whether that is leakage.

Import from the modules: ``images`` (scores), ``matching`` (which reconstruction is whose),
``baselines`` (what a blind guesser scores) need torch; ``verdict`` (the scores in a word) does
not, so that what only reads a finished run's log can use it without loading torch.
"""
