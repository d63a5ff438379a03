"""Imports of the optional libraries for texts."""

import importlib
from types import ModuleType

from fedsim.core.errors import DataError


def need(module: str) -> ModuleType:
    """Import a library of the extra ``text``.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"texts need {module!r}, which cannot be imported ({error}); "
            "install it: pip install 'fedsim-leakage[text]'"
        ) from None
