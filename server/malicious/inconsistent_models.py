"""Inconsistent models: the others' gradients are zero, so that a secure sum is one upload."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fedsim.core.errors import RunError
from fedsim.core.modules import last_linear, probing
from fedsim.core.registry import MANIPULATIONS
from fedsim.server.malicious.base import Changed, Public
from fedsim.server.malicious.isolating import Isolating, Isolation, Mixture, one_of

BURIED = -1e6
"""Bias of a silenced layer, below all that reaches its activation."""

MOST_COUNTED = 500
"""Public examples by which the victim's last bias is told from the others'."""

RIDGE = 1e-4
"""Penalty of that regression, in units of the mean square of a public example's features."""

TRIED = 16
"""Public examples on which the silence is tried."""


@MANIPULATIONS.register("inconsistent-models")
class InconsistentModels(Isolating):
    """Inconsistent models: one client gets the honest model, the others one without gradients.

    Pasquini et al., Eluding Secure Aggregation (arXiv 2111.07380), gradient suppression: a layer
    whose units are dead gives gradients of zero, so that the sum of all uploads, under any secure
    aggregation, is the upload of the one client with another model. The source is the abstract and
    summaries; the paper's sections and code could not be read. Here the last layer in front of the
    classification layer is silenced. Only the bias of the classification layer keeps a gradient,
    which counts the others' labels: whole numbers, which the server subtracts by rounding to the
    bias gradient that the victim's other gradients make likely.
    """

    readout: ClassVar[str] = "best"
    estimates: ClassVar[bool] = True

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the honest model, which the victim receives."""
        _, name = silenced(model, public.inputs[:TRIED], generator)
        return Changed(
            model,
            f"silenced the layer '{name}' in the model of all other clients, whose gradients are "
            "then zero",
            (f"{name}.bias",),
            None,
        )

    def isolate(
        self,
        changed: Changed,
        victims: Sequence[int],
        cohort: Sequence[int],
        public: Public,
        generator: torch.Generator,
    ) -> Isolation:
        """Return the honest model for one client, and a silent one for the others."""
        silent, _ = silenced(changed.model, public.inputs[:TRIED], generator)
        victim = one_of(victims, generator)
        models = {client: changed.model if client == victim else silent for client in cohort}
        counting = _counting(_entering_head(changed.model, public.inputs[:MOST_COUNTED]).double())
        return Isolation((victim,), models, partial(_upload_of, victim, changed.model, counting))


def silenced(model: nn.Module, inputs: Tensor, generator: torch.Generator) -> tuple[nn.Module, str]:
    """Return a copy of a model without gradients but in the last bias, and its silent layer's name.

    Args:
        model: the model.
        inputs: public examples on which the silence is tried.
        generator: source of the directions in which it is tried.

    Raises:
        RunError: no layer can be silenced in this way.
    """
    head = last_linear(model)
    if head is None:
        raise RunError("adversary.malicious: inconsistent models need a dense last layer")
    for name in reversed(_with_bias(model, inputs[:1])):
        if name == head[0]:
            continue
        silent = copy.deepcopy(model)
        with torch.no_grad():
            silent.get_submodule(name).get_parameter("bias").fill_(BURIED)
            silent.get_submodule(head[0]).get_parameter("bias").zero_()
        if _speaking(silent, inputs, generator) <= {f"{head[0]}.bias"}:
            return silent, name
    raise RunError(
        "adversary.malicious: no layer of the model can be silenced, because its activation has a "
        "gradient everywhere; choose a model with 'relu' or 'sigmoid'"
    )


def _with_bias(model: nn.Module, inputs: Tensor) -> list[str]:
    """Return the names of the layers with weight and bias, in the order in which they compute."""
    names = {module: name for name, module in model.named_modules()}
    seen: list[str] = []

    def look(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        own = dict(module.named_parameters(recurse=False))
        if {"weight", "bias"} <= set(own):
            seen.append(names[module])

    with probing(model, look):
        model(inputs)
    return seen


def _speaking(model: nn.Module, inputs: Tensor, generator: torch.Generator) -> set[str]:
    """Return the names of the parameters with a gradient, for arbitrary gradients of logits."""
    named = {k: p for k, p in model.named_parameters() if p.requires_grad}
    logits = copy.deepcopy(model).eval()(inputs) if len(inputs) < 2 else model(inputs)
    weights = torch.randn(logits.shape, generator=generator)
    found = torch.autograd.grad((logits * weights).sum(), list(named.values()), allow_unused=True)
    return {k for k, g in zip(named, found, strict=True) if g is not None and bool(g.any())}


def _entering_head(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the inputs of the classification layer ``(examples, features)``."""
    head, seen = last_linear(model), list[Tensor]()

    def look(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if head is not None and module is head[1]:
            seen.append(given[0])

    with probing(model, look):
        model(inputs)
    return seen[-1].flatten(0, -2)


def _counting(entering: Tensor) -> Tensor:
    """Return weights of features under which each public example comes as near to 1 as possible.

    With them the gradient of a dense layer's weight tells about that of its bias. Ridge regression
    in its dual form.

    Args:
        entering: features of public examples ``(examples, features)``.
    """
    products = entering @ entering.T
    ridge = RIDGE * products.diagonal().mean()
    inner = products + ridge * torch.eye(len(products), dtype=products.dtype)
    ones = torch.ones(len(products), dtype=products.dtype)
    dual: Tensor = torch.linalg.solve(inner, ones)
    return entering.T @ dual


def _upload_of(
    victim: int, model: nn.Module, counting: Tensor, mixture: Mixture
) -> Mapping[int, Mapping[str, Tensor]]:
    """Return the victim's upload out of a mixture in which the others' gradients are zero.

    Args:
        victim: the client.
        model: the model that it received.
        counting: weights of the features of the classification layer, see `_counting`.
        mixture: the mean of all uploads.
    """
    if victim not in mixture.examples:
        return {}
    head = last_linear(model)
    trained = {k for k, p in model.named_parameters() if p.requires_grad}
    share = mixture.examples[victim] / mixture.total
    found = {
        k: v / share if k in trained else torch.zeros_like(v) for k, v in mixture.changes.items()
    }
    if head is not None and f"{head[0]}.bias" in trained:
        bias, weight = f"{head[0]}.bias", found[f"{head[0]}.weight"]
        found[bias] = _own_bias(mixture, victim, bias, weight @ counting)
    return {victim: found}


def _own_bias(mixture: Mixture, victim: int, name: str, likely: Tensor) -> Tensor:
    """Return the victim's part of the gradient of the last bias.

    Each of the others' examples has the gradient of equally likely classes: one part for each
    class, less one for its label.

    Args:
        mixture: the mean of all uploads.
        victim: the client.
        name: name of the bias.
        likely: estimate of the result.
    """
    own = mixture.examples[victim]
    others = mixture.total - own
    known = mixture.changes[name] * mixture.unit * mixture.total - others / len(likely)
    counted = (likely * mixture.unit * own - known).round()
    return (known + counted) / own / mixture.unit
