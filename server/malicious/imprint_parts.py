"""Imprint layer with a part for each client, which a secure sum keeps apart."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.core.registry import MANIPULATIONS
from fedsim.models.blocks import Imprinted
from fedsim.server.malicious.base import Changed, Public
from fedsim.server.malicious.imprint import Imprint
from fedsim.server.malicious.isolating import Isolating, Isolation, Mixture

DEAD = -1e6
"""Bias of the rows of other clients' parts, below all that reaches them."""

LARGEST = 1.0
"""Largest gradient in the layer on public pictures, well within the range of secure sums."""

ROWS = ("imprint.weight", "imprint.bias")


@MANIPULATIONS.register("imprint-parts")
class ImprintParts(Isolating):
    """Imprint parts: an imprint layer in which each client has rows of its own.

    Zhao et al., LOKI (arXiv 2303.12233): each client of a round gets a model in which only its own
    part of an inserted layer has gradients, so that the sum of all uploads keeps the clients apart,
    and one attack reads all of them. The source is the authors' description of their code; the
    paper's sections could not be read. Unlike LOKI, where a convolution of each client passes its
    pictures to its own part, here the rows of the others are dead by their biases: uploads are as
    sparse, without a convolution. The layer is scaled so that its gradients on public pictures are
    far larger than the rounding of a secure sum, which leaves what the model computes unchanged.
    """

    readout: ClassVar[str] = "dense-bins"
    block: ClassVar[str | None] = "imprint"
    estimates: ClassVar[bool] = True

    bins: Annotated[
        int, Field(ge=2, le=10_000, examples=[16], description="rows of each client's part")
    ] = 64
    strength: Annotated[float, Field(gt=0, le=1e3, examples=[0.1], description="see `imprint`")] = (
        0.1
    )

    def architecture(self, model: nn.Module, input_shape: tuple[int, ...]) -> nn.Module:
        """Return a copy of the model behind one client's part, whose values are undefined."""
        return Imprinted(copy.deepcopy(model), math.prod(input_shape), self.bins)

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the model behind one client's part."""
        plain = Imprint(bins=self.bins, strength=self.strength)
        changed = plain.change(model, public, generator)
        gain = LARGEST / _largest_gradient(changed.model, public, generator)
        _amplify(changed.model, gain)
        what = f"put a layer in front of the model, with {self.bins} bins of each client's own,"
        return Changed(changed.model, what, changed.tensors, changed.expected, {"gain": gain})

    def isolate(
        self,
        changed: Changed,
        victims: Sequence[int],
        cohort: Sequence[int],
        public: Public,
        generator: torch.Generator,
    ) -> Isolation:
        """Return a model for each client of the round, with its own part alive."""
        numbers = public.inputs[0].numel()
        models = {
            client: _with_part(changed.model, numbers, self.bins, place, len(cohort))
            for place, client in enumerate(cohort)
        }
        places = {client: cohort.index(client) for client in victims}
        return Isolation(tuple(victims), models, partial(_parts, places, self.bins))


def _amplify(model: nn.Module, gain: float) -> None:
    """Multiply the gradients of the imprint layer, and leave what the model computes."""
    with torch.no_grad():
        for name in ROWS:
            model.get_parameter(name).div_(gain)
        model.get_parameter("gather.weight").mul_(gain)


def _largest_gradient(model: nn.Module, public: Public, generator: torch.Generator) -> float:
    """Return the largest gradient of the layer's rows by a public batch with drawn labels."""
    chosen = torch.randperm(len(public.inputs), generator=generator)[: public.batch_size]
    own = copy.deepcopy(model).eval()
    logits = own(public.inputs[chosen])
    labels = torch.randint(logits.shape[-1], (len(chosen),), generator=generator)
    rows = [own.get_parameter(name) for name in ROWS]
    found = torch.autograd.grad(nn.functional.cross_entropy(logits, labels), rows)
    return max(float(g.abs().max()) for g in found) or LARGEST


def _with_part(model: nn.Module, numbers: int, bins: int, place: int, clients: int) -> nn.Module:
    """Return a model with the parts of all clients, of which one is alive.

    Args:
        model: the model behind one part.
        numbers: numbers of a picture.
        bins: rows of a part.
        place: place of the client among all.
        clients: number of parts.
    """
    whole = Imprinted(copy.deepcopy(model.get_submodule("model")), numbers, clients * bins)
    own = slice(place * bins, (place + 1) * bins)
    with torch.no_grad():
        whole.imprint.get_parameter("weight").copy_(
            model.get_parameter("imprint.weight").repeat(clients, 1)
        )
        bias = whole.imprint.get_parameter("bias")
        bias.fill_(DEAD)[own] = model.get_parameter("imprint.bias")
        whole.gather.get_parameter("weight").copy_(
            model.get_parameter("gather.weight").repeat(1, clients)
        )
        whole.spread.get_parameter("weight").copy_(model.get_parameter("spread.weight"))
    return whole.train(model.training)


def _parts(
    places: Mapping[int, int], bins: int, mixture: Mixture
) -> Mapping[int, Mapping[str, Tensor]]:
    """Return each client's upload of its own part; the rest of the model is the mean of all."""
    found = {}
    for client, place in places.items():
        if client not in mixture.examples:
            continue
        share = mixture.examples[client] / mixture.total
        own = slice(place * bins, (place + 1) * bins)
        part = {name: mixture.changes[name][own] / share for name in ROWS}
        part["gather.weight"] = mixture.changes["gather.weight"][:, own] / share
        found[client] = {**mixture.changes, **part}
    return found
