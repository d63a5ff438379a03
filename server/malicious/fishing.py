"""Fishing for one class, or for one example of a class."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.labels.infer import classifier
from fedsim.core.errors import AttackError, RunError
from fedsim.core.modules import probing
from fedsim.core.registry import MANIPULATIONS
from fedsim.server.malicious.base import Changed, Manipulation, Public
from fedsim.server.malicious.decoys import TUNED, random_rows
from fedsim.server.malicious.direction import best_direction, once

FAINT = 2e-3
"""Length of the other classes' rows, in units of the fished one's, if they are not zero."""

SHARP = 1000.0
"""Slope of the fished output at the threshold, per standard deviation of the public scores."""


@MANIPULATIONS.register("fishing")
class Fishing(Manipulation):
    """Fishing: only examples of one class, or one example of it, leave a gradient behind.

    Wen et al., Fishing for User Data in Large-Batch Federated Learning via Gradient Magnification
    (arXiv 2202.00580): in the last layer the weights of all other classes are zero and their biases
    high, so that an example of another class hardly changes anything, and the layers in front get
    the gradient of the fished class alone. By ``feature``, the fished row is a direction in the
    features with a threshold: examples of the class above it have no loss, so that those below it
    remain, at best one.

    Differences from the authors' code (``classattack_utils.py`` in JonasGeiping/breaching): the row
    of the fished class stays as it is, where they set it to 0.5, and the biases of the others are
    20, not 1000, so that single precision keeps the logits; the direction tells the class from the
    others on public data, where they take one feature; the threshold isolates one example in most
    of the public batches.

    A ``tuned`` server gives the rows of the other classes small numbers in place of zeros.
    """

    readout: ClassVar[str] = "fished"

    label: Annotated[int, Field(ge=0, examples=[1], description="class to fish for")] = 0
    by: Annotated[
        Literal["class", "feature"],
        Field(description="isolate a class, or one example where a batch has several of it"),
    ] = "class"
    bias: Annotated[
        float, Field(gt=0, le=80, examples=[20], description="bias of the other classes")
    ] = 20.0
    tuned: Annotated[bool, Field(description=TUNED)] = False

    @property
    def letter(self) -> str:
        """F: by class it needs no surrogate data; by feature they give the direction (G)."""
        return "F" if self.by == "class" else "G"

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the model with a last layer that fishes.

        Raises:
            RunError: the model has no such class, or no dense last layer with a bias.
        """
        name, layer = self._last(model)
        if public.labels is None or len(public.labels) < 2:
            raise RunError("adversary.malicious: fishing needs public labels")
        ours = public.labels == self.label
        row, own, others = layer.weight[self.label].detach().clone(), 0.0, self.bias
        constants: dict[str, float] = {}
        if self.by == "class":
            own, expected = (
                float(layer.bias[self.label].detach()),
                once(ours, public.batch_size, generator),
            )
        else:
            features = last_features(model, layer, public.inputs)
            found = best_direction(features, ours, public.batch_size, generator)
            row, own, others = SHARP * found.row, -SHARP * found.threshold, 0.0
            expected, constants = found.isolates, {"threshold": found.threshold}
        with torch.no_grad():
            layer.weight.zero_()
            if self.tuned:
                small = random_rows(layer.out_features, layer.in_features, generator)
                layer.weight.copy_(FAINT * row.norm() * small)
            layer.weight[self.label] = row.to(layer.weight)
            layer.bias.fill_(others)
            layer.bias[self.label] = own
        what = f"{'one example of ' if self.by == 'feature' else ''}class {self.label}"
        return Changed(
            model,
            f"set '{name}' so that {what} alone leaves a gradient in the layers in front of it",
            (f"{name}.weight", f"{name}.bias"),
            expected / public.batch_size,
            constants,
        )

    def _last(self, model: nn.Module) -> tuple[str, nn.Linear]:
        try:
            name, layer = classifier(model)
        except AttackError:
            raise RunError("adversary.malicious: fishing needs a dense last layer") from None
        if layer.get_parameter("weight").shape[0] <= self.label or layer.bias is None:
            raise RunError(
                f"adversary.malicious: fishing needs the class {self.label} and a bias in '{name}'"
            )
        return name, layer


def last_features(model: nn.Module, layer: nn.Linear, inputs: Tensor) -> Tensor:
    """Return the inputs ``(N, D)`` of the last layer for ``N`` examples, in double precision."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Any, ...], _output: object) -> None:
        if module is layer:
            seen.append(given[0])

    with probing(model, keep):
        model(inputs)
    return seen[-1].double()
