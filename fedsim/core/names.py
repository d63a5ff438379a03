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

Attacker = Literal["naive", "adaptive"]
"""An attacker that ignores the clients' defenses, or one that knows them."""

NAIVE: Final = "naive"
ADAPTIVE: Final = "adaptive"
