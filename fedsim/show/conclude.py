"""The end of a run: its missing pictures and its report."""

from __future__ import annotations

import logging
from pathlib import Path

from fedsim.log.run import Run, legible
from fedsim.show.artefacts import draw
from fedsim.show.report.run import write_run

logger = logging.getLogger(__name__)


def conclude_run(folder: Path) -> None:
    """Draw the missing pictures of a run and write its report.

    Everything is made from the log, so that a run that died can be concluded later. A failure is
    a warning: the records and tensors of the run are not lost with it.

    Args:
        folder: of the run.
    """
    for what, step in (("pictures were", draw_missing), ("report was", write_run)):
        try:
            step(folder)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            logger.warning("%s: the %s not written: %s", folder, what, reason)


def draw_missing(folder: Path) -> None:
    """Draw the pictures of a run that are not there yet.

    Raises:
        RunError: the folder is not a run folder, or a record names something outside it.
    """
    with legible(folder):
        draw(Run.read(folder))
