"""What stood where a masked token was, from the gradient of the head alone."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.func import jacrev

from fedsim.attacks.types import Observation
from fedsim.data.tokens import Task
from fedsim.models import TextModel

_HEAD = "head.0.weight"


def fill_masked(model: TextModel, observation: Observation, tokens: Tensor) -> Tensor:
    """Return texts with the masked tokens that their gradient tells.

    Once all inputs are known, all that a client computed is known but the labels. The gradient
    of the head's dense layer is ``sum_m d_m h_m^T`` over the masked positions m, with hidden
    states h_m: least squares give each d_m. It is ``J_m^T (E^T p_m - E[y_m]) / n`` with the
    Jacobian J_m of what follows the layer, the table E of words, the prediction p_m and the
    number n of masked positions, so that the label y_m is the word whose d_m this is. Exact while
    there are no more masked tokens than hidden dimensions, and needs no gradient of embeddings.

    Args:
        model: the attacked model.
        observation: what is attacked.
        tokens: the texts ``(B, L)`` with the mask token where one stood.
    """
    mask = model.vocabulary.specials.mask
    gradient = observation.gradient.get(_HEAD)
    if model.task is not Task.MASKED or gradient is None or mask is None:
        return tokens
    places = tokens.eq(mask).nonzero()
    if not len(places):
        return tokens
    own = copy.deepcopy(model).eval().requires_grad_(False).double()
    seen: list[Tensor] = []
    handle = own.head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        logits = own(own.embed(tokens))
    handle.remove()
    rows, columns = places.unbind(1)
    hidden, predicted = seen[0][rows, columns], torch.softmax(logits[rows, columns], -1)
    # d_m from gradient = d^T h, by least squares.
    deltas = torch.linalg.lstsq(hidden.T, gradient.double().T).solution
    weight, bias = own.get_parameter(_HEAD), own.get_parameter("head.0.bias")
    after = own.get_submodule("head")[1:]  # type: ignore[index]
    possible = [t for t in range(len(own.table)) if not model.vocabulary.is_special(t)]
    filled = tokens.clone()
    for row, column, h, p, delta in zip(rows, columns, hidden, predicted, deltas, strict=True):
        jacobian = jacrev(after)(h @ weight.T + bias)
        expected = ((p @ own.table)[None] - own.table[possible]) @ jacobian / len(places)
        filled[row, column] = possible[int((expected - delta).norm(dim=1).argmin())]
    return filled
