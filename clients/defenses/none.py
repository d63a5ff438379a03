"""No defense."""

from fedsim.clients.defenses.base import Defense
from fedsim.core.registry import DEFENSES


@DEFENSES.register("none")
class NoDefense(Defense):
    """Send the upload as it is, for all others to be compared with."""
