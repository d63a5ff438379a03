"""Model properties that matter to gradient inversion."""

from __future__ import annotations

from torch import nn

from fedsim.core.modules import normalising_by_batch

_PIECEWISE_LINEAR = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.Hardtanh, nn.MaxPool2d)


def traits(model: nn.Module) -> dict[str, int]:
    """Return the model properties that the log of a run records.

    Args:
        model: the model in the mode (train or eval) in which clients compute gradients.

    Returns:
        ``parameters``: number of trainable parameters; ``batch_statistics``: number of layers that
        normalise by the batch's statistics; ``piecewise_linear``: number of layers without a
        second derivative; ``frozen``: number of parameters that are not trained.
    """
    modules = list(model.modules())
    return {
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "batch_statistics": len(normalising_by_batch(model)),
        "piecewise_linear": sum(isinstance(m, _PIECEWISE_LINEAR) for m in modules),
        "frozen": sum(p.numel() for p in model.parameters() if not p.requires_grad),
    }
