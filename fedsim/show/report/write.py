"""The report of a run, a comparison or a folder of them."""

from __future__ import annotations

import logging
from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.log.comparison import COMPARISON
from fedsim.log.folders import RECORDS
from fedsim.show.conclude import draw_missing
from fedsim.show.report.run import write_run

logger = logging.getLogger(__name__)


def write_report(folder: Path, out: Path | None = None, *, charts: bool = True) -> Path:
    """Write the report of a run or of a comparison, or the index of a folder of them.

    The missing pictures of a run are drawn, too, so that one that died can be concluded.

    Args:
        folder: the run folder, the comparison's folder, or a folder with some of them.
        out: the file to write; ``report.html`` or ``index.html`` in the folder if none is given.
        charts: whether the report of a run or a comparison has charts, most of its size.

    Returns:
        Where it is.

    Raises:
        RunError: the folder holds nothing of the kind, or the file cannot be written.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder}: there is no such folder: expected a run folder that `fedsim run` printed, "
            "a comparison's folder, or a folder that contains several of them"
        )
    if (folder / RECORDS).is_file():
        try:
            draw_missing(folder)
        except OSError as error:  # a folder that others may only read
            logger.warning("%s: the pictures were not drawn: %s", folder, error)
        return write_run(folder, out, charts=charts)
    # A comparison's statistics take a second to import; the report of a run does not need them.
    from fedsim.show.report.comparison import write_comparison  # noqa: PLC0415
    from fedsim.show.report.index import write_index  # noqa: PLC0415

    if (folder / COMPARISON).is_file():
        return write_comparison(folder, out, charts=charts)
    return write_index(folder, out)
