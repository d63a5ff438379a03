"""Labels of a batch from the gradient of the classification layer, without optimisation."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.attacks.matching.space import space_type
from fedsim.core.errors import AttackError
from fedsim.core.modules import last_linear, probing

# If a class's own part in its row of the gradient is below this fraction of the largest such
# part, its features are shrunk towards the mean of all.
_SHRINKAGE = 0.03
_ROUNDS = 2
_FIXED_POINT_STEPS = 30

# Error of a share in single precision.
_ROUNDING = 1e-5

_TINY = torch.finfo(torch.float64).tiny


def infer_labels(
    model: nn.Module,
    gradient: Mapping[str, Tensor],
    input_shape: tuple[int, ...],
    batch_size: int,
) -> Tensor:
    """Read the labels of a batch off the gradient of the classification layer.

    Under cross-entropy the gradient with respect to the logit of class c is, averaged over
    the batch, ``mean probability of c - share of c in the batch``. If the layer has a bias,
    this is the bias's gradient. Otherwise it is approximately the leading left singular vector of
    the weight's gradient, exactly if all examples have the same features; the features of a
    mid-grey example determine its length and sign.

    For one example the true class is the only negative entry (iDLG; Zhao, Mopuri, Bilen 2020,
    arXiv 2001.02610, section 3.2). The paper reads the rows of the weight's gradient and needs
    features that are not negative. Here nothing is assumed about features: the bias does
    not depend on them, and without a bias the true class's row is the only one with the opposite
    direction. The exception are two classes without a bias: their rows differ only in the sign,
    which is taken from the mid-grey example.

    For a batch the counts follow from the mean probabilities: see `shares_of`.

    Args:
        model: the model that the client received. Not modified.
        gradient: the shared gradient by parameter name.
        input_shape: shape of one example.
        batch_size: number of examples.

    Returns:
        The labels in ascending order, ``(batch_size,)``, on the CPU. Their order in the batch
        cannot be known and does not matter to the gradient.

    Raises:
        AttackError: the model has no dense layer, or its gradient was not shared or is not
            finite.
    """
    layer, weight, logits = head_gradient(model, gradient, input_shape, single=batch_size == 1)
    # No entry can exceed one for a valid input.
    scale = logits.abs().max().clamp(min=1)
    weight, logits = weight / scale, logits / scale
    if batch_size == 1:
        return (logits + weight @ _mean_features(weight, logits)).argmin().reshape(1)
    shares, _ = shares_of(layer, weight, logits)
    counts = whole_counts(shares, logits, batch_size)
    return torch.repeat_interleave(torch.arange(len(counts)), counts)


def head_gradient(
    model: nn.Module,
    gradient: Mapping[str, Tensor],
    input_shape: tuple[int, ...],
    *,
    single: bool = False,
) -> tuple[nn.Linear, Tensor, Tensor]:
    """Return the classification layer, its weight's gradient ``(C, D)`` and the logits' ``(C,)``.

    Args:
        model: the model that the client received.
        gradient: the shared gradient by parameter name. What it lacks is estimated.
        input_shape: shape of one example.
        single: whether the gradient is that of one example.

    Raises:
        AttackError: the model has no dense layer, or its gradient was not shared or is not
            finite.
    """
    name, layer = classifier(model)
    weight, logits = _shared(gradient, f"{name}.weight"), _shared(gradient, f"{name}.bias")
    if logits is None:
        if weight is None:
            raise AttackError(f"the gradient of the classification layer {name!r} was not shared")
        logits = _logits_gradient(weight, _mid_grey_features(model, input_shape))
        if single and _stray(-logits) < _stray(logits):
            logits = -logits
    elif weight is None:
        weight = torch.outer(logits, _mid_grey_features(model, input_shape))
    return layer, weight, logits


def check_range(labels: Tensor | None, classes: int) -> None:
    """Check that labels are classes of the model.

    Raises:
        AttackError: a label is out of range.
    """
    if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise AttackError(
            f"labels from {int(labels.min())} to {int(labels.max())}: expected 0 to {classes - 1}"
        )


def classifier(model: nn.Module) -> tuple[str, nn.Linear]:
    """Return the name and the module of the classification layer.

    Raises:
        AttackError: there is no dense layer.
    """
    found = last_linear(model)
    if found is None:
        raise AttackError(
            "labels are read off a dense last layer, which this model lacks; "
            "give the labels or use an attack that optimises them"
        )
    return found


def _shared(gradient: Mapping[str, Tensor], name: str) -> Tensor | None:
    tensor = gradient.get(name)
    if tensor is None:
        return None
    if not bool(torch.isfinite(tensor).all()):
        raise AttackError(f"the gradient of {name!r} holds NaN or infinite values")
    return tensor.detach().to("cpu", torch.float64)


def _mid_grey_features(model: nn.Module, input_shape: tuple[int, ...]) -> Tensor:
    """Return the input of the classification layer for a mid-grey example, ``(D,)``."""
    name, layer = classifier(model)
    seen: list[Tensor] = []

    def look(module: nn.Module, inputs: tuple[Any, ...], _output: object) -> None:
        if module is layer:
            seen.append(inputs[0])

    with probing(model, look):
        model(space_type(model).neutral(model, input_shape))
    if not seen:
        raise AttackError(f"the classification layer {name!r} is not used by the model")
    return seen[-1].flatten(0, -2).mean(0).to("cpu", torch.float64)


def _logits_gradient(weight: Tensor, features: Tensor) -> Tensor:
    """Return the logits' mean gradient ``(C,)``, estimated from the weight's ``(C, D)``."""
    unit = weight / weight.abs().max().clamp(min=_TINY)
    leading = torch.linalg.eigh(unit @ unit.T).eigenvectors[:, -1]
    direction = nn.functional.normalize(unit.T @ leading, dim=0)
    signal, along = weight @ direction, features @ direction
    # The norm of the features is at least large enough to keep all entries below one.
    length = torch.maximum(along.abs(), signal.abs().max()).clamp(min=_TINY)
    return torch.where(along < 0, -signal, signal) / length


def _stray(logits: Tensor) -> Tensor:
    """Return the absolute sum of all negative entries except the lowest."""
    return logits.min() - logits.clamp(max=0).sum()


def _mean_features(weight: Tensor, logits: Tensor) -> Tensor:
    """Return the least-squares h ``(D,)`` of ``weight = logits h^T``."""
    return logits @ weight / (logits @ logits).clamp(min=_TINY)


def mean_probabilities(layer: nn.Linear, weight: Tensor, logits: Tensor) -> Tensor:
    """Return the probabilities ``(C,)`` of the batch's mean features.

    They do not depend on the scale of the gradients, which both have in common.
    """
    mean = layer.weight.detach().to("cpu", torch.float64) @ _mean_features(weight, logits)
    base = 0 if layer.bias is None else layer.bias.detach().to("cpu", torch.float64)
    return torch.softmax(mean + base, 0)


def shares_of(layer: nn.Linear, weight: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate the share of each class in the batch, ``(C,)``, and before negative ones are cut.

    Let the examples of class k have the features m_k, which the layer turns into the
    probabilities p_k, and let s be the shares and g the logits' mean gradient. Then
    ``s = sum_k s_k p_k - g``, and row k of the weight's gradient is
    ``sum_j s_j p_jk m_j - s_k m_k``. With the mean features h instead of the other classes'
    features, ``row_k - g_k h = -s_k (1 - p_kk) (m_k - h)``. Two rounds alternately find
    the features and, by iteration, the shares. Initially ``s_k (1 - p_kk)`` is set to ``-g_k``.

    Reading a class's features off its row is the idea of iLRG (Ma et al., ICLR 2023), which uses
    ``m_k = row_k / g_k`` and solves a linear system for the shares. Differences: the other classes'
    part in a row is corrected for, faint rows are shrunk towards the mean, and shares cannot become
    negative. If all examples have the same features the result is exact.
    """
    kernel = layer.weight.detach().to("cpu", torch.float64)
    base = 0 if layer.bias is None else layer.bias.detach().to("cpu", torch.float64)
    # Features matter only through their logits: C numbers for each class.
    mean = kernel @ _mean_features(weight, logits)
    beyond = weight @ kernel.T - torch.outer(logits, mean)
    shares = _normalised(torch.softmax(mean + base, 0) - logits)
    own = -logits.clamp(max=0)
    for _ in range(_ROUNDS):
        faint = (_SHRINKAGE * own.max()).square().clamp(min=_TINY)
        deviation = -(own / (own.square() + faint)).unsqueeze(1) * beyond
        probabilities = torch.softmax((mean + deviation + base).nan_to_num(), 1)
        for _ in range(_FIXED_POINT_STEPS):
            exact = shares @ probabilities - logits
            shares = _normalised(exact)
        own = shares * (1 - probabilities.diagonal())
    return shares, exact


def _normalised(shares: Tensor) -> Tensor:
    possible = shares.clamp(min=0)
    return possible / possible.sum().clamp(min=_TINY)


def whole_counts(shares: Tensor, logits: Tensor, batch_size: int) -> Tensor:
    """Round estimated shares to whole counts that sum to the batch size.

    A probability is not negative, so no count is below ``-batch_size * logits``. The logits'
    gradients sum to zero: a nonzero sum shows how far noise may have changed them.
    """
    estimate = batch_size * shares
    slack = logits.sum().abs() + _ROUNDING
    least = (batch_size * (-logits - slack)).ceil().clamp(min=0).long()
    if least.sum() > batch_size:
        least = torch.zeros_like(least)
    counts = torch.maximum(estimate.floor().long(), least)
    while (missing := batch_size - int(counts.sum())) != 0:
        if missing > 0:
            counts[(estimate - counts).argmax()] += 1
        else:
            counts[torch.where(counts > least, counts - estimate, -torch.inf).argmax()] -= 1
    return counts
