"""The report of a comparison while it runs."""

from __future__ import annotations

import logging
import webbrowser
from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.show.report.comparison import write_comparison

logger = logging.getLogger(__name__)


class Following:
    """Report that is written after each run, and opened in the browser after the first.

    It is a file, and browsers read it again by themselves, so that nothing listens on a port.

    Args:
        folder: the comparison's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._opened = folder, False

    def write(self) -> None:
        """Write the report of what is finished, if anything is."""
        try:
            path = write_comparison(self._folder, running=True)
        except RunError as error:  # no run has succeeded yet, or there is no room
            logger.warning("%s", error)
            return
        if not self._opened:
            self._opened = webbrowser.open(path.resolve().as_uri())
