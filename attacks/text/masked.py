"""The tokens behind mask tokens, from the gradient of the head alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import jacrev

from fedsim.attacks.text.model import TextModel, as_module, own_copy
from fedsim.attacks.types import Observation
from fedsim.core.tasks import Task


def fill_masked(model: TextModel, observation: Observation, tokens: Tensor) -> Tensor:
    """Return texts with the masked tokens that their gradient gives away.

    Once all inputs are known, all of a client's computation is known but the labels. The gradient
    of the head's dense layer is ``sum_m d_m h_m^T`` over the masked positions m, with hidden
    states h_m: least squares give each d_m. It is ``J_m^T (E^T p_m - E[y_m]) / n`` with the
    Jacobian J_m of what follows the layer, the table E of tokens, the prediction p_m and the
    number n of masked positions, so that the label y_m is the token whose d_m this is. Exact while
    there are no more masked tokens than hidden dimensions, and needs no gradient of embeddings.

    Args:
        model: the attacked model.
        observation: what is attacked.
        tokens: the texts ``(B, L)`` with the mask token where one stood.
    """
    mask = model.specials.mask
    layer = _dense_layer(model)
    gradient = observation.gradient.get(f"{layer}.weight")
    if model.task is not Task.MASKED or layer is None or gradient is None or mask is None:
        return tokens
    positions = tokens.eq(mask).nonzero()
    if not len(positions):
        return tokens
    own, module = own_copy(model)
    dense = module.double().get_submodule(layer)
    seen: list[tuple[Tensor, Tensor]] = []
    handle = dense.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    with torch.no_grad():
        logits = own(own.embed(tokens))
    handle.remove()
    [(entering, leaving)] = seen
    rows, columns = positions.unbind(1)
    hidden, predicted = entering[rows, columns], torch.softmax(logits[rows, columns], -1)
    # d_m from gradient = d^T h, by least squares.
    deltas = torch.linalg.lstsq(hidden.T, gradient.double().T).solution
    features = _after(module.get_submodule(str(model.head_name)), dense)
    possible = [t for t in range(len(own.table)) if not model.is_special(t)]
    filled = tokens.clone()
    outputs = leaving[rows, columns]
    for row, column, z, p, delta in zip(rows, columns, outputs, predicted, deltas, strict=True):
        jacobian = jacrev(features)(z)
        expected = ((p @ own.table)[None] - own.table[possible]) @ jacobian / len(positions)
        filled[row, column] = possible[int((expected - delta).norm(dim=1).argmin())]
    return filled


def _dense_layer(model: TextModel) -> str | None:
    """Return the name of the head's dense layer, or None if there is none."""
    if model.head_name is None:
        return None
    head = as_module(model).get_submodule(model.head_name)
    inside = (name for name, module in head.named_modules() if isinstance(module, nn.Linear))
    name = next(inside, None)
    return None if name is None else f"{model.head_name}.{name}".rstrip(".")


def _after(head: nn.Module, dense: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the head's features as a function of its dense layer's output ``(D,)``."""

    def features(output: Tensor) -> Tensor:
        handle = dense.register_forward_hook(lambda _module, _inputs, _output: output)
        try:
            result: Tensor = head(torch.zeros_like(output))
        finally:
            handle.remove()
        return result

    return features
