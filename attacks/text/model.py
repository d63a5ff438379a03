"""Protocol of the transformers that text attacks accept."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from fedsim.core.errors import AttackError
from fedsim.core.tasks import Specials, Task


@runtime_checkable
class TextModel(Protocol):
    """A transformer that takes tokens or token embeddings.

    It is also a `torch.nn.Module`. `fedsim.models` has such models, and
    `fedsim.attacks.text.hugging_face.as_text_model` converts a Hugging Face model; any other module
    with these attributes can be attacked too.

    Attributes:
        modality: ``texts``.
        task: its training task.
        causal: whether a position attends only to earlier positions.
        num_outputs: number of vocabulary entries, or of classes.
        specials: the special tokens. Texts end with ``specials.last``; if the model is not causal
            they begin with ``specials.first``, if there is one.
        table_name: name of the token embedding's parameter.
        position_name: name of the position embedding's parameter, with one row for each position,
            starting at 0; None if there is no such table.
        bias_name: name of the bias of the output layer over the vocabulary; None if it has no bias.
        head_name: name of the module between the hidden states and a tied output layer over the
            vocabulary, which begins with a dense layer; None if there is no such module.
    """

    modality: str
    task: Task
    causal: bool
    num_outputs: int
    specials: Specials
    table_name: str
    position_name: str | None
    bias_name: str | None
    head_name: str | None

    @property
    def table(self) -> Tensor:
        """Token embedding ``(V, D)``."""

    @property
    def projections(self) -> Sequence[tuple[str, ...]]:
        """Names of the modules for queries, keys and values of each layer.

        The weight of a module that is not a `torch.nn.Linear` has the input axis first.
        """

    def is_special(self, token: int) -> bool:
        """Return whether a token cannot be part of a text."""

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the input ``(B, T, D + 1)`` for tokens ``(B, T)``, differentiable by the table.

        The last number is 1 for a token and 0 for padding.
        """

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the logits ``(B, T, V)``, or ``(B, classes)`` for classification.

        Args:
            inputs: tokens ``(B, T)`` int64, or what `embed` returns. The computation must not
                branch on values, since attacks map it over many texts (`torch.func.vmap`).
        """


def as_module(model: TextModel) -> nn.Module:
    """Return a text model as a module.

    Raises:
        AttackError: it is not a module.
    """
    if not isinstance(model, nn.Module):
        raise AttackError(f"a {type(model).__name__} is not a torch.nn.Module: expected one")
    return model


def own_copy(model: TextModel) -> tuple[TextModel, nn.Module]:
    """Return a copy in evaluation mode without gradients, also as a module."""
    own = copy.deepcopy(model)
    return own, as_module(own).eval().requires_grad_(False)


def text_model(model: nn.Module) -> TextModel:
    """Return a module as a text model.

    Raises:
        AttackError: it lacks a required attribute.
    """
    if isinstance(model, TextModel):
        return model
    raise AttackError(
        f"a {type(model).__name__} is not a text model: expected the attributes of "
        "fedsim.attacks.text.model.TextModel; wrap a Hugging Face model with "
        "fedsim.attacks.as_text_model(model, tokenizer)"
    )


def middle(model: TextModel, length: int) -> Tensor:
    """Return one text of ``length`` mean embeddings, ``(1, L, D + 1)``.

    It is the counterpart of a mid-grey picture.
    """
    table = model.table.detach()
    words = table.mean(0).expand(1, length, -1)
    return nn.functional.pad(words, (0, 1), value=1.0)
