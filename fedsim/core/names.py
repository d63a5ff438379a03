"""Names with a fixed meaning in scenarios, records and tables."""

from typing import Final, Literal

CONTROL: Final = "positive control"
"""Group name of the adversary's positive control."""

SUM: Final = "sum of the uploads"
"""Group name of the sum of a round's uploads, if single uploads are hidden."""

NO_DEFENSE: Final = "none"
"""Name of an empty chain of defenses."""

NEAREST: Final = "nearest"
"""Name of the public example most similar to the private one: a baseline, not a blind guess."""

NEAREST_OF_CLASS: Final = "nearest of class"
"""Name of the most similar public example of the class that the attack found."""

CHOSEN_BY_TRUTH: Final = (NEAREST, NEAREST_OF_CLASS)
"""Baselines that are chosen with the private example, so that they are not blind guesses."""

TONE: Final = "tone"
"""Name of the constant that is closest to the private picture in each channel."""

CLASS_MEAN: Final = "class mean"
"""Name of the mean public picture of the class that the attack found."""

PRIOR: Final = "prior"
"""Name of the attack's reconstruction with the gradient withheld."""

Attacker = Literal["naive", "adaptive", "over-rounds"]
"""An attacker that ignores the clients' defenses, one that knows them, or one of several rounds."""

NAIVE: Final = "naive"
ADAPTIVE: Final = "adaptive"
OVER_ROUNDS: Final = "over-rounds"

ATTACKERS: Final[tuple[Attacker, ...]] = (NAIVE, ADAPTIVE, OVER_ROUNDS)
"""All of them, in the order of tables and figures."""
