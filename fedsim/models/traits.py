"""What of a model decides whether an attack on it can work."""

from __future__ import annotations

from torch import nn

from fedsim.core.modules import normalising_by_batch

_PIECEWISE_LINEAR = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.Hardtanh, nn.MaxPool2d)


def traits(model: nn.Module) -> dict[str, int]:
    """Return what is noted of a model in the log of a run.

    Args:
        model: in the mode in which clients compute gradients.

    Returns:
        ``parameters``: how many are trained; ``batch_statistics``: how many layers normalise by
        the batch's own statistics; ``piecewise_linear``: how many have no second derivative.
    """
    modules = list(model.modules())
    return {
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "batch_statistics": len(normalising_by_batch(model)),
        "piecewise_linear": sum(isinstance(m, _PIECEWISE_LINEAR) for m in modules),
    }
