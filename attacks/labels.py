"""What the last layer's gradient says of the labels, before any optimisation."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attacks.functional import as_function, parameters
from fedsim.errors import AttackError


def infer_labels(
    model: nn.Module,
    gradient: Mapping[str, Tensor],
    input_shape: tuple[int, ...],
    batch_size: int,
) -> Tensor:
    """Read the labels of a batch off the gradient of the classification layer.

    Under cross-entropy the gradient with respect to the logit of class c is, averaged over
    the batch, ``mean probability of c - share of c in the batch``. Where the layer has a bias
    this is the bias's gradient; else the row sums of the weight's gradient carry its sign if
    the layer's inputs are not negative.

    For one example the true class is the only negative entry, so it is found exactly
    (iDLG; Zhao, Mopuri, Bilen 2020, arXiv 2001.02610, section 3.2, which reads the weight's
    rows; the bias, where there is one, needs no assumption on the inputs). For a batch every
    negative class occurs at least once, and the counts follow from the mean probabilities,
    which are estimated on mid-grey inputs.

    Args:
        model: the model that the gradient answers.
        gradient: the shared gradient by parameter name.
        input_shape: shape of one example.
        batch_size: number of examples.

    Returns:
        The labels in ascending order, ``(batch_size,)``. Their order in the batch cannot be
        known and does not matter to the gradient.

    Raises:
        AttackError: the model has no dense layer whose gradient was shared.
    """
    name, _ = classifier(model)
    bias, weight = gradient.get(f"{name}.bias"), gradient.get(f"{name}.weight")
    if bias is None and weight is None:
        raise AttackError(f"the gradient of the classification layer {name!r} was not shared")
    if batch_size == 1:
        signal = bias if bias is not None else _row_sums(weight)
        return signal.argmin().reshape(1).cpu()
    if bias is None:
        raise AttackError(
            f"label counts of a batch need the bias of the classification layer {name!r}, "
            "which has none; give the labels or use an attack that optimises them"
        )
    return _from_shares(bias, _mean_probabilities(model, input_shape), batch_size).cpu()


def check_range(labels: Tensor | None, classes: int) -> None:
    """Check that labels are classes of the model.

    Raises:
        AttackError: one is not.
    """
    if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise AttackError(
            f"labels from {int(labels.min())} to {int(labels.max())}: expected 0 to {classes - 1}"
        )


def classifier(model: nn.Module) -> tuple[str, nn.Linear]:
    """Return the name and the module of the last dense layer."""
    dense = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not dense:
        raise AttackError(
            "labels are read off a dense last layer, and this model has none; "
            "give the labels or use an attack that optimises them"
        )
    return dense[-1]


def _row_sums(weight: Tensor | None) -> Tensor:
    assert weight is not None  # noqa: S101  (the caller has seen to it)
    return weight.flatten(1).sum(1)


def _mean_probabilities(model: nn.Module, input_shape: tuple[int, ...]) -> Tensor:
    parameter = next(model.parameters())
    grey = torch.full((2, *input_shape), 0.5, device=parameter.device, dtype=parameter.dtype)
    with torch.no_grad():
        logits = as_function(model)(parameters(model), grey)
    return torch.softmax(logits, dim=-1).mean(0)


def _from_shares(bias_gradient: Tensor, probabilities: Tensor, batch_size: int) -> Tensor:
    """Round estimated class counts to whole ones that sum to the batch size."""
    # No class occurs more often than that, however far noise pushes its estimate.
    estimate = (batch_size * (probabilities - bias_gradient)).clamp(max=batch_size)
    certain = (bias_gradient < 0).long()
    counts = torch.maximum(estimate.floor().clamp(min=0).long(), certain)
    while counts.sum() > batch_size:
        surplus = torch.where(counts > 0, counts - estimate, -torch.inf)
        counts[surplus.argmax()] -= 1
    while counts.sum() < batch_size:
        counts[(estimate - counts).argmax()] += 1
    return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
