"""A transformer that sorts the tokens of texts into bins."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks.text.model import TextModel, text_model
from fedsim.attacks.text.token_bins import SHARE
from fedsim.core.errors import AttackError, RunError
from fedsim.core.modality import TEXTS
from fedsim.core.modules import probing
from fedsim.core.registry import MANIPULATIONS
from fedsim.server.malicious.base import Changed, Manipulation, Public
from fedsim.server.malicious.decoys import FAINT as FAINT_HONEST
from fedsim.server.malicious.decoys import TUNED, random_rows, rows_of_bins

SHARP = 3000.0
"""Factor on the rows of the layer of bins, so that GELU is as sharp as ReLU beside a bin."""

FAINT = 1e-8
"""Weights behind the bins: the text goes on as if they were not there."""

FINGERPRINT = 4.0
"""Factor on the mean of a text that is added to each of its tokens."""


@MANIPULATIONS.register("decepticon")
class Decepticon(Manipulation):
    """Decepticon: a transformer's first layer marks tokens by text and sorts them into bins.

    Fowl et al., Decepticons (arXiv 2201.12675): attention adds the same fingerprint of a text to
    some numbers of each of its tokens. The dense layer behind it has equal rows with thresholds, so
    that the difference of two neighbouring rows' gradients holds the tokens in between. The next
    attention spreads the loss over all tokens. Shapes stay.

    Here the fingerprint is the mean of a text, since the first token of BERT's texts is always the
    same; only the first layer has bins, because the loss at masked tokens reaches the others only
    through a later attention; and thresholds are quantiles of public texts.

    A ``tuned`` server has its bins among rows in random directions of the same length, more of
    these than bins, and leaves faint honest weights in place of zeros.
    """

    modalities: ClassVar[frozenset[str] | None] = frozenset({TEXTS})
    readout: ClassVar[str] = "token-bins"

    sharpness: Annotated[
        float, Field(gt=0, examples=[3000], description="length of a row per unit of its direction")
    ] = SHARP
    tuned: Annotated[bool, Field(description=TUNED)] = False

    def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
        """Return the model that sorts tokens.

        Raises:
            RunError: it is not an encoder with two layers named as BERT's.
        """
        texts = self._supported(model)
        first, second = (layer_names(texts, number) for number in (0, 1))
        marked = int(SHARE * texts.table.shape[1])
        with torch.no_grad():
            rest = FAINT_HONEST if self.tuned else 0.0
            _spread(model, first, marked, FINGERPRINT, rest)
            _spread(model, second, texts.table.shape[1], 1.0, rest)
            norm = model.get_submodule(f"{first}.attention.output.LayerNorm")
            norm.get_parameter("weight").fill_(1)
            norm.get_parameter("bias").zero_()
        dense = model.get_submodule(f"{first}.intermediate.dense")
        direction = torch.randn(texts.table.shape[1], generator=generator)
        direction[:marked] = 0
        seen = _measured(model, dense, public.inputs, texts.specials.pad)
        levels, rows = seen @ direction.double(), len(dense.get_parameter("weight"))
        own = rows_of_bins(rows, generator, tuned=self.tuned)
        limits = torch.quantile(levels, torch.arange(len(own), dtype=torch.float64) / len(own))
        limits[0] = levels.min() - (levels.max() - levels.min())
        behind = model.get_submodule(f"{first}.output.dense").get_parameter("weight")
        signs = torch.randint(2, (len(behind), 1), generator=generator) * 2.0 - 1
        weight, bias = (dense.get_parameter(k) for k in ("weight", "bias"))
        with torch.no_grad():
            if self.tuned:
                drawn = random_rows(rows, len(direction), generator)
                weight.copy_(self.sharpness * direction.norm() * drawn)
                bias.zero_()
                behind.copy_(FAINT * torch.randn(behind.shape, generator=generator))
            weight[own] = self.sharpness * direction
            bias[own] = (-self.sharpness * limits).to(bias)
            behind[:, own] = FAINT * signs.expand(-1, len(own))
        what = f"made '{first}' mark the tokens of each text and sort them into {len(own)} bins"
        if self.tuned:
            what += f", hidden among {rows - len(own)} random rows"
        return Changed(
            model,
            what,
            tuple(changed_names(first) + changed_names(second)[:8]),
            alone(levels, limits, public.batch_size * len(levels) // len(public.inputs)),
        )

    def _supported(self, model: nn.Module) -> TextModel:
        try:
            texts = text_model(model)
            if len(texts.projections) < 2:
                raise AttackError("fewer than two layers")
            for number in (0, 1):
                model.get_submodule(f"{layer_names(texts, number)}.intermediate.dense")
        except (AttackError, AttributeError) as error:
            raise RunError(
                f"adversary.malicious: decepticon needs a BERT with two layers: {error}"
            ) from None
        return texts


def layer_names(model: TextModel, number: int) -> str:
    """Return the name of a layer, as ``backbone.encoder.layer.0``."""
    return model.projections[number][0].partition(".attention")[0]


def changed_names(layer: str) -> list[str]:
    """Return the names of the tensors of a layer that change, attention first."""
    attention = [f"{layer}.attention.self.{k}" for k in ("query", "key", "value")]
    names = [*attention, f"{layer}.attention.output.dense", f"{layer}.intermediate.dense"]
    both = [f"{name}.{k}" for name in names for k in ("weight", "bias")]
    return [*both, f"{layer}.output.dense.weight"]


def alone(levels: Tensor, limits: Tensor, tokens: int) -> float:
    """Return the share of tokens that public texts say are the only one in their bin.

    Args:
        levels: measures of public tokens ``(N,)``.
        limits: lower limits of the bins.
        tokens: number of tokens of a batch.
    """
    inside = torch.bucketize(levels, limits)
    shares = torch.bincount(inside).double() / len(inside)
    return float((1 - shares[inside]).pow(tokens - 1).mean())


def _spread(model: nn.Module, layer: str, marked: int, factor: float, rest: float) -> None:
    """Make attention add the mean of a text, times a factor, to the first numbers of each token.

    Args:
        model: the model, which is modified.
        layer: name of the layer of the transformer.
        marked: number of the first numbers of a token.
        factor: the factor.
        rest: factor on all other weights of the attention; with a small one, or zero, each token
            attends to all alike.
    """
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        module = model.get_submodule(f"{layer}.attention.{name}")
        module.get_parameter("weight").mul_(rest)
        module.get_parameter("bias").zero_()
    chosen = range(marked)
    model.get_parameter(f"{layer}.attention.self.value.weight")[chosen, chosen] = 1
    model.get_parameter(f"{layer}.attention.output.dense.weight")[chosen, chosen] = factor


def _measured(model: nn.Module, dense: nn.Module, tokens: Tensor, pad: int) -> Tensor:
    """Return the inputs of a dense layer for the tokens of texts ``(tokens, D)``."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Any, ...], _output: object) -> None:
        if module is dense:
            seen.append(given[0])

    with probing(model, keep):
        model(tokens)
    return seen[0][tokens != pad].double()
