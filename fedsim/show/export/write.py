"""Export of a folder to one of the tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedsim.show.export.measured import Measured, measured
from fedsim.show.export.target import Target, Tool


def export(folder: Path, tool: Tool, target: Target) -> str:
    """Export a run, or the finished runs of a comparison, with the tool's own library.

    Args:
        folder: a run folder, or a comparison's folder.
        tool: the tool.
        target: the place.

    Returns:
        How to look at it: a command.

    Raises:
        RunError: the folder cannot be read.
        DataError: the tool's library is not installed.
    """
    runs: Sequence[Measured] = measured(folder)
    if tool is Tool.TENSORBOARD:
        from fedsim.show.export.to_tensorboard import write  # noqa: PLC0415
    elif tool is Tool.WANDB:
        from fedsim.show.export.to_wandb import write  # noqa: PLC0415
    else:
        from fedsim.show.export.to_mlflow import write  # noqa: PLC0415
    return write(runs, target)
