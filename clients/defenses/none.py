"""No defense."""

from collections.abc import Mapping
from typing import ClassVar

from fedsim.clients.defenses.base import Defense
from fedsim.core.registry import DEFENSES


@DEFENSES.register("none")
class NoDefense(Defense):
    """Send the upload unchanged, as a baseline for comparisons."""

    identity: ClassVar[Mapping[str, object] | None] = {}
