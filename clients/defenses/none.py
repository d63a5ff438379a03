"""No defense."""

from clients.defenses.base import Defense, defense
from fedsim.registry import DEFENSES


@DEFENSES.register("none")
@defense
class NoDefense(Defense):
    """Send the upload as it is, for all others to be compared with."""
