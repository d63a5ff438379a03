"""The peer: breaching's attacks on our observations, at its own presets."""

import os

os.environ.setdefault("PYTORCH_JIT", "0")  # on a CPU it recompiles for minutes otherwise

import torch
from torch import Tensor, nn

from attacks import Observation

try:
    import breaching
    from omegaconf import OmegaConf
except ImportError:
    breaching = None

PRESETS = ("deepleakage", "invertinggradients")


def available() -> bool:
    """Return whether breaching is installed (``uv sync --group peers``)."""
    return breaching is not None


def reconstruct(
    preset: str, model: nn.Module, seen: Observation, classes: int, overrides: tuple[str, ...] = ()
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

    Returns:
        ``(batch_size, *input_shape)``.
    """
    config = breaching.get_attack_config(preset, overrides=list(overrides))
    setup = {"device": torch.device("cpu"), "dtype": torch.float}
    attacker = breaching.attacks.prepare_attack(model, nn.CrossEntropyLoss(), config, setup)
    channels = seen.input_shape[0]
    metadata = OmegaConf.create(
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
        "gradients": [seen.gradient[name] for name, _ in model.named_parameters()],
        "buffers": None,
        "metadata": {
            "num_data_points": seen.batch_size,
            "labels": None,
            "local_hyperparams": None,
            "data_key": "inputs",
        },
    }
    found, _ = attacker.reconstruct([payload], [shared], {}, dryrun=False)
    data: Tensor = found["data"].detach()
    return data
