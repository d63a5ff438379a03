"""The peer: breaching's attacks on our observations, at its own presets."""

import importlib
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.attacks import Observation

PRESETS = {"deepleakage": 1200, "invertinggradients": 24_000}
"""Presets and their own numbers of iterations; those of L-BFGS are up to 20 evaluations each."""


def available() -> bool:
    """Return whether breaching is installed (``uv run --group peers``)."""
    return find_spec("breaching") is not None


def presets(channels: int) -> list[str]:
    """Return the presets that can attack pictures of so many channels.

    The total variation of `invertinggradients` takes three.
    """
    return [name for name in PRESETS if channels == 3 or name == "deepleakage"]


@cache
def load() -> Any:
    """Import breaching without PyTorch's JIT.

    On a CPU its scripted objectives are recompiled for minutes. PyTorch reads ``PYTORCH_JIT``
    when it is first imported, long before this; what is set here is what the variable sets.
    """
    switch = torch.jit._state._enabled
    before, switch.enabled = switch.enabled, False
    try:
        return importlib.import_module("breaching")
    finally:
        switch.enabled = before


def reconstruct(
    preset: str,
    model: nn.Module,
    seen: Observation,
    classes: int,
    overrides: tuple[str, ...] = (),
    *,
    seed: int = 0,
) -> Tensor:
    """Run a preset of breaching on one observation.

    It is given what our attacks are: the model, the gradient, the input's shape and that data
    are in [0, 1]. Labels are left to it.

    Args:
        preset: one of `PRESETS`.
        model: the attacked model.
        seen: the observation.
        classes: how many there are.
        overrides: of the preset, in Hydra's words.
        seed: of its random start.

    Returns:
        ``(batch_size, *input_shape)`` on the model's device.
    """
    breaching = load()
    config = breaching.get_attack_config(preset, overrides=list(overrides))
    device = next(model.parameters()).device
    setup = {"device": device, "dtype": torch.float}
    attacker = breaching.attacks.prepare_attack(model, nn.CrossEntropyLoss(), config, setup)
    channels = seen.input_shape[0]
    metadata = importlib.import_module("omegaconf").OmegaConf.create(
        {
            "shape": list(seen.input_shape),
            "classes": classes,
            "modality": "vision",
            "task": "classification",
            "mean": [0.0] * channels,
            "std": [1.0] * channels,
        }
    )
    payload = {
        "parameters": [p.detach() for p in model.parameters()],
        "buffers": [b.detach() for b in model.buffers()],
        "metadata": metadata,
    }
    shared = {
        "gradients": [seen.gradient[name].to(device) for name, _ in model.named_parameters()],
        "buffers": None,
        "metadata": {
            "num_data_points": seen.batch_size,
            "labels": None,
            "local_hyperparams": None,
            "data_key": "inputs",
        },
    }
    with torch.random.fork_rng():  # it draws from the global generator
        torch.manual_seed(seed)
        found, _ = attacker.reconstruct([payload], [shared], {}, dryrun=False)
    data: Tensor = found["data"].detach()
    return data
