"""No defense."""

from fedsim.clients.defenses.base import Defense
from fedsim.core.registry import DEFENSES


@DEFENSES.register("none")
class NoDefense(Defense):
    """Send the upload unchanged, as a baseline for comparisons."""
