"""Writes the report of whatever a folder holds."""

from __future__ import annotations

from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.log.comparison import COMPARISON
from fedsim.log.folders import RECORDS
from fedsim.show.report.run import write_run


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a run or of a comparison, or the index of a folder of them.

    Args:
        folder: the run folder, the comparison's folder, or a folder with some of them.
        out: the file to write; ``report.html`` or ``index.html`` in the folder if none is given.

    Returns:
        Where it is.

    Raises:
        RunError: the folder holds nothing of the kind, or the file cannot be written.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder}: there is no such folder: expected a run folder that `fedsim run` named, "
            "a comparison's folder, or a folder with some of them"
        )
    if (folder / RECORDS).is_file():
        return write_run(folder, out)
    # A comparison's statistics take a second to import, which the report of a run does not need.
    from fedsim.show.report.comparison import write_comparison  # noqa: PLC0415
    from fedsim.show.report.index import write_index  # noqa: PLC0415

    write = write_comparison if (folder / COMPARISON).is_file() else write_index
    return write(folder, out)
