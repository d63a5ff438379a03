"""Tools that runs are exported to, and the place of an export."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import ModuleType

from fedsim.core.errors import DataError


class Tool(StrEnum):
    """A tool that runs are exported to, named like its extra."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"


@dataclass(frozen=True)
class Target:
    """Place of an export.

    Attributes:
        out: folder of the files.
        project: name of the project or experiment.
        online: whether to send to the server that the tool is set up for, instead of files.
    """

    out: Path
    project: str = "fedsim"
    online: bool = False


def need(module: str, extra: str) -> ModuleType:
    """Import a tool's library.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"the export needs {module!r}, which cannot be imported ({error}); "
            f"install it: pip install 'fedsim-leakage[{extra}]'"
        ) from None
