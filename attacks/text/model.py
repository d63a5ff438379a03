"""The transformers that text attacks accept: anybody's, by a protocol."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from fedsim.core.errors import AttackError
from fedsim.core.tasks import Specials, Task


@runtime_checkable
class TextModel(Protocol):
    """A transformer that takes tokens, or word embeddings in their place.

    It is a `torch.nn.Module` too. `fedsim.models` has such models, and
    `fedsim.attacks.text.hugging_face.as_text_model` makes one of a model of Hugging Face's; any
    other module with these attributes is attacked alike.

    Attributes:
        modality: ``texts``.
        task: its training task.
        causal: whether a position sees the earlier ones alone.
        num_outputs: entries of the vocabulary, or classes.
        specials: the special tokens. Texts end with ``specials.last``, and those of a model that
            is not causal begin with ``specials.first``, if there is one.
        table_name: name of the word embeddings' parameter.
        position_name: name of the position embeddings' parameter, one row for each position from
            0 on; None if positions are not embedded by such a table.
        bias_name: name of the bias of the output layer over the vocabulary; None if there is none.
        head_name: name of the module between the hidden states and a tied output layer over the
            vocabulary, which begins with a dense layer; None if there is none.
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
        """The word embeddings ``(V, D)``."""

    @property
    def projections(self) -> Sequence[tuple[str, ...]]:
        """The names of the modules that make queries, keys and values, for each layer.

        A module that is not a `torch.nn.Linear` holds its weight with the inputs first.
        """

    def is_special(self, token: int) -> bool:
        """Return whether a token cannot be part of a text."""

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the input ``(B, T, D + 1)`` for tokens ``(B, T)``, differentiable by the table.

        The last number is 1 where there is a token and 0 where there is padding.
        """

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the logits ``(B, T, V)``, or ``(B, classes)`` for classification.

        Args:
            inputs: tokens ``(B, T)`` int64, or what `embed` returns. The computation must not
                branch on values, since attacks map it over many texts (`torch.func.vmap`).
        """


def as_module(model: TextModel) -> nn.Module:
    """Return a text model as the module that it is.

    Raises:
        AttackError: it is not a module.
    """
    if not isinstance(model, nn.Module):
        raise AttackError(f"a {type(model).__name__} is not a torch.nn.Module: expected one")
    return model


def own_copy(model: TextModel) -> tuple[TextModel, nn.Module]:
    """Return a copy in evaluation mode that computes no gradient, also as a module."""
    own = copy.deepcopy(model)
    return own, as_module(own).eval().requires_grad_(False)


def text_model(model: nn.Module) -> TextModel:
    """Return a module as a text model.

    Raises:
        AttackError: it lacks some attribute of one.
    """
    if isinstance(model, TextModel):
        return model
    raise AttackError(
        f"a {type(model).__name__} is not a text model: expected the attributes of "
        "fedsim.attacks.text.model.TextModel; wrap a model of Hugging Face's with "
        "fedsim.attacks.as_text_model(model, tokenizer)"
    )


def middle(model: TextModel, length: int) -> Tensor:
    """Return one text of ``length`` tokens whose embeddings are the mean of all, ``(1, L, D + 1)``.

    The counterpart of a mid-grey picture.
    """
    table = model.table.detach()
    words = table.mean(0).expand(1, length, -1)
    return nn.functional.pad(words, (0, 1), value=1.0)
