"""Watch of a local training: its batches, steps and optimiser, without changes to its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.overrides import TorchFunctionMode

from fedsim.clients.watching_clips import clipping

LOSSES = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
)
"""Functions of ``torch.nn.functional`` that are watched, also inside loss modules."""

_NAMES = {getattr(F, name): name for name in LOSSES}
_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout)

Step = tuple[Tensor, Tensor | None]


@dataclass
class Watched:
    """Observations of one local training.

    Attributes:
        steps: inputs of the outermost model and targets of the loss, one pair for each step of an
            optimiser; if no optimiser stepped, one for each forward pass.
        rates: learning rate of each of these steps of an optimiser.
        facts: the optimiser's class and settings, and the mode and loss of the last step; the norm
            for clipping and the probability of dropout, if there are any.
    """

    steps: list[Step] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def examples(self) -> tuple[Tensor, Tensor] | None:
        """Return the different examples in the order of their first use, and their labels.

        None if no model was trained, or batches or labels differ in form.
        """
        pairs = [(x, y) for x, y in self.steps if y is not None and len(y) == len(x)]
        if not pairs or len({(x.shape[1:], y.shape[1:]) for x, y in pairs}) > 1:
            return None
        inputs, labels = torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])
        first: dict[bytes, int] = {}
        for row, example in enumerate(inputs):
            first.setdefault(example.contiguous().numpy().tobytes(), row)
        rows = torch.tensor(list(first.values()))
        return inputs[rows], labels[rows]


@contextmanager
def watching() -> Iterator[Watched]:
    """Context that watches the models, losses and optimisers of this process.

    Only forward passes with gradients count, of models in whatever mode. The computation is not
    affected.
    """
    watch = _Watch()
    plain_call = nn.Module.__call__
    nn.Module.__call__ = watch.call(plain_call)  # type: ignore[method-assign]
    handle = register_optimizer_step_post_hook(watch.on_step)
    try:
        with _Calls(watch), clipping(watch.on_clip):
            yield watch.seen
    finally:
        handle.remove()
        nn.Module.__call__ = plain_call  # type: ignore[method-assign]
        watch.end()


class _Calls(TorchFunctionMode):
    """Mode in which the calls of PyTorch's loss functions and of dropout are noted."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func in _NAMES:
            target = args[1] if len(args) > 1 else named.get("target")
            weight = args[2] if len(args) > 2 else named.get("weight")
            self._watch.on_loss(_NAMES[func], target, weight, named.get("label_smoothing", 0.0))
        elif func in _DROPOUTS:
            given = dict(zip(("input", "p", "training"), args, strict=False)) | named
            if given.get("training", True):
                self._watch.on_dropout(float(given.get("p", 0.5)))
        return func(*args, **named)


class _Watch:
    def __init__(self) -> None:
        self.seen = Watched()
        self._depth, self._stepped = 0, False
        self._inputs: Tensor | None = None
        self._target: Tensor | None = None
        self._passes: list[Step] = []

    def call(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def called(module: nn.Module, *given: Any, **named: Any) -> Any:
            outermost = self._depth == 0 and torch.is_grad_enabled()
            if outermost and any(p.requires_grad for p in module.parameters()):
                self._forward(module, [*given, *named.values()], named.get("labels"))
            self._depth += 1
            try:
                return plain(module, *given, **named)
            finally:
                self._depth -= 1

        return called

    def on_loss(self, name: str, target: object, weight: object, smoothing: float) -> None:
        if isinstance(target, Tensor) and torch.is_grad_enabled() and self._depth < 2:
            self._target = _kept(target)
            self.seen.facts["loss"] = name
            if smoothing:
                self.seen.facts["smoothing"] = float(smoothing)
            if isinstance(weight, Tensor):
                self.seen.facts["weights"] = _kept(weight).tolist()

    def on_dropout(self, probability: float) -> None:
        if torch.is_grad_enabled() and probability > 0:
            known = float(self.seen.facts.get("dropout", 0.0))
            self.seen.facts["dropout"] = max(known, probability)

    def on_clip(self, norm: float, kind: float) -> None:
        self.seen.facts["max_grad_norm"] = norm
        self.seen.facts["norm_type"] = kind

    def on_step(self, optimiser: torch.optim.Optimizer, *_: Any) -> None:
        self._stepped = True
        settings = optimiser.param_groups[0]
        self.seen.facts["optimiser"] = type(optimiser).__name__
        for name in ("lr", "momentum", "nesterov", "weight_decay", "eps"):
            value = settings.get(name)
            if isinstance(value, Tensor) and value.numel() == 1:
                value = float(value)
            if isinstance(value, int | float):
                self.seen.facts[name] = value if isinstance(value, bool) else float(value)
        for name, value in zip(("beta1", "beta2"), settings.get("betas", ()), strict=False):
            self.seen.facts[name] = float(value)
        if self._inputs is not None:
            self.seen.steps.append((self._inputs, self._target))
            self.seen.rates.append(float(self.seen.facts["lr"]))
            self._inputs = self._target = None

    def end(self) -> None:
        if not self._stepped:
            self._flush()
            self.seen.steps = self._passes

    def _forward(self, module: nn.Module, given: list[Any], labels: Any) -> None:
        tensors = [t for t in given if isinstance(t, Tensor) and t is not labels]
        if not tensors:
            return
        self._flush()
        self._inputs = _kept(tensors[0])
        self._target = _kept(labels) if isinstance(labels, Tensor) else None
        self.seen.facts["mode"] = "train" if module.training else "eval"

    def _flush(self) -> None:
        if self._inputs is not None and not self._stepped:
            self._passes.append((self._inputs, self._target))
            self._inputs = None


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
