"""Tensors and models of an auditor, from files and import paths."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from fedsim.core.errors import RunError

NESTED = ("state_dict", "model_state_dict", "model")
"""Keys under which files of PyTorch's often hold the tensors."""


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name. No code from the file is executed.

    Args:
        path: ``.safetensors``, ``.npz`` without pickled objects, or ``.pt``, ``.pth``, ``.bin`` of
            ``torch.save``, of which only weights are read.

    Raises:
        RunError: the file is missing, has another ending, or is not such a file.
    """
    readers: Mapping[str, Callable[[Path], Any]] = {
        ".safetensors": load_file,
        ".npz": _load_npz,
        ".pt": _load_torch,
        ".pth": _load_torch,
        ".bin": _load_torch,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise RunError(f"{path}: expected a file that ends in {', '.join(readers)}")
    try:
        found = reader(path)
    except FileNotFoundError:
        raise RunError(f"{path}: there is no such file") from None
    except Exception as error:  # of readers of untrusted files
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path}: cannot be read as tensors alone: {first}") from None
    if not isinstance(found, Mapping) or not found:
        raise RunError(f"{path}: expected tensors by name, found {type(found).__name__}")
    odd = [k for k, v in found.items() if not isinstance(v, Tensor)]
    if odd:
        raise RunError(f"{path}: {odd[0]!r} is not a tensor")
    return {str(k): v.detach().cpu() for k, v in found.items()}


def imported(path: str) -> Any:
    """Return an object of the auditor's own code.

    Args:
        path: ``module:name``, found from the current folder, or ``file.py:name``.

    Raises:
        RunError: it cannot be imported.
    """
    module, _, name = path.rpartition(":")
    if not module or not name:
        raise RunError(f"{path!r}: expected module:name, such as task:Net, or file.py:name")
    try:
        with _from_here():
            found = _module(module)
            for part in name.split("."):
                found = getattr(found, part)
    except Exception as error:  # of the auditor's code
        raise RunError(f"{path!r} cannot be imported: {type(error).__name__}: {error}") from error
    return found


def numbers(text: str) -> tuple[float, ...]:
    """Return numbers separated by commas.

    Raises:
        RunError: they are not numbers.
    """
    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError:
        raise RunError(f"{text!r}: expected numbers separated by commas") from None


def shape_in(text: str) -> tuple[int, ...]:
    """Return a shape written as ``3x32x32``.

    Raises:
        RunError: it is not one.
    """
    try:
        return tuple(int(each) for each in text.lower().split("x"))
    except ValueError:
        raise RunError(f"{text!r}: expected a shape such as 3x32x32") from None


def _module(name: str) -> Any:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _from_here() -> Iterator[None]:
    """Context in which modules are found from the current folder, as with ``python script.py``."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _load_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}
    except BadZipFile as error:
        raise ValueError(str(error)) from None


def _load_torch(path: Path) -> Any:
    found = torch.load(path, map_location="cpu", weights_only=True)
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    return found
