"""Conclusion of a run: its missing pictures and its report."""

from __future__ import annotations

import logging
from pathlib import Path

from fedsim.log.run import Run, legible
from fedsim.show.artefacts import draw
from fedsim.show.report.run import write_run

logger = logging.getLogger(__name__)


def conclude_run(folder: Path) -> None:
    """Draw the missing pictures of a run and write its report.

    Everything is made from the log, so a run that died can be concluded later. A failure is only a
    warning, which does not affect the records and tensors of the run.

    Args:
        folder: the run folder.
    """
    for what, step in (("pictures were", draw_missing), ("report was", write_run)):
        try:
            step(folder)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            logger.warning("%s: the %s not written: %s", folder, what, reason)


def draw_missing(folder: Path) -> None:
    """Draw the missing pictures of a run.

    Raises:
        RunError: the folder is not a run folder, or a record names a path outside it.
    """
    with legible(folder):
        draw(Run.read(folder))
