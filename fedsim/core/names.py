"""Names with a fixed meaning in scenarios, records and tables."""

from typing import Final, Literal

CONTROL: Final = "positive control"
"""The adversary's own control, beside the client groups."""

SUM: Final = "sum of the uploads"
"""The sum of a round's uploads, beside the client groups, where no single upload is seen."""

NO_DEFENSE: Final = "none"
"""An empty chain of defenses."""

NEAREST: Final = "nearest"
"""The public example that is most like the private one: a baseline, but not a blind guess."""

Attacker = Literal["naive", "adaptive"]
"""An attacker that does not know the clients' defenses, or one that does."""

NAIVE: Final = "naive"
ADAPTIVE: Final = "adaptive"
