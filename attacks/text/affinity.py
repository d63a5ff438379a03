"""Which words of a batch stand in the same text: what the first attention layer's gradient says."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.text.layers import projections
from attacks.types import Observation
from fedsim.models import TextModel


def affinities(model: TextModel, observation: Observation, inputs: Tensor) -> Tensor:
    """Return how much words attend to one another in the gradient, ``(n, n)``.

    Let z_s be the n inputs of the first attention layer, q_s and k_s their queries and keys in one
    head of d dimensions. The gradients of the queries are ``(dS K) / sqrt(d)``, those of the keys
    ``(dS^T Q) / sqrt(d)``, where dS is the gradient of the attention scores: zero between words of
    different texts. The inputs being known, least squares turn the weights' gradients into those
    of queries and keys, and these into dS: wholly for n <= d, and but for (n - d)^2 of its n^2
    dimensions beyond. What is returned is the sum of ``|dS| + |dS^T|`` over the heads, large only
    between words of one text. We know of no earlier use.

    Args:
        model: an encoder with BERT's attention.
        observation: what is attacked.
        inputs: the first layer's inputs that its gradient is made of, ``(n, D)``.
    """
    query, key, _ = projections(model)[0]
    exact, heads = inputs.double(), int(model.backbone.config.num_attention_heads)  # type: ignore[union-attr, arg-type]
    made, gradients = [], []
    for name in (query, key):
        weight = model.get_parameter(f"{name}.weight").detach().double()
        bias = model.get_parameter(f"{name}.bias").detach().double()
        made.append(_by_head(exact @ weight.T + bias, heads))
        shared = observation.gradient[f"{name}.weight"].double()
        gradients.append(_by_head(torch.linalg.lstsq(exact.T, shared.T).solution, heads))
    (queries, keys), (of_queries, of_keys) = made, gradients
    root = queries.shape[-1] ** 0.5
    # What the queries' gradients tell, and beyond it what those of the keys tell.
    from_queries = root * of_queries @ torch.linalg.pinv(keys)
    from_keys = (root * of_keys @ torch.linalg.pinv(queries)).transpose(1, 2)
    seen = keys @ torch.linalg.pinv(keys)
    scores = from_queries + from_keys - from_keys @ seen
    either: Tensor = scores.abs() + scores.abs().transpose(1, 2)
    return either.sum(0)


def _by_head(vectors: Tensor, heads: int) -> Tensor:
    """Return ``(n, D)`` as ``(heads, n, D / heads)``."""
    return vectors.view(len(vectors), heads, -1).transpose(0, 1)
