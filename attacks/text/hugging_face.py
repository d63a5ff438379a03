"""Adapter from Hugging Face transformers to the text models that attacks accept."""

from __future__ import annotations

import copy
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.attacks.text.model import TextModel
from fedsim.core.errors import AttackError
from fedsim.core.modality import TEXTS
from fedsim.core.tasks import Specials, Task

_TASKS = {
    "BertForMaskedLM": Task.MASKED,
    "BertForSequenceClassification": Task.CLASSIFY,
    "GPT2LMHeadModel": Task.NEXT,
    "GPT2ForSequenceClassification": Task.CLASSIFY,
}
_PROJECTIONS = {
    "bert.encoder.layer": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "transformer.h": ("attn.c_attn",),
}


def as_text_model(model: nn.Module, tokenizer: Any) -> TextModel:
    """Return a Hugging Face BERT or GPT-2 as a text model for attacks.

    It has the parameter names of ``model``, so that a gradient of ``model`` can be observed
    unchanged. It is a copy, with attention that has a second derivative ("eager").

    Args:
        model: a ``BertForMaskedLM``, ``BertForSequenceClassification``, ``GPT2LMHeadModel`` or
            ``GPT2ForSequenceClassification``, in the mode in which the clients computed.
        tokenizer: its tokenizer. Texts are expected to begin and end with its special tokens:
            [CLS] and [SEP] for a BERT, an end-of-text token at the end for a GPT-2.

    Raises:
        AttackError: the model is not supported, the tokenizer lacks a token, or transformers is
            missing.
    """
    library = _transformers()
    name = next((n for n in _TASKS if isinstance(model, getattr(library, n))), None)
    if name is None:
        raise AttackError(
            f"a {type(model).__name__} is not supported: expected one of {', '.join(_TASKS)}; "
            "for any other transformer write a module with the attributes of "
            "fedsim.attacks.TextModel"
        )
    return _HuggingFaceModel(model, tokenizer, _TASKS[name], causal=name.startswith("GPT2"))


class _HuggingFaceModel(nn.Module):
    """A text model with the parameters of a Hugging Face model."""

    modality: str = TEXTS

    def __init__(self, model: nn.Module, tokenizer: Any, task: Task, *, causal: bool) -> None:
        super().__init__()
        own: Any = copy.deepcopy(model)
        own.set_attn_implementation("eager")
        own.config.use_cache = False
        for name, child in own.named_children():
            self.add_module(name, child)
        self._whole = (own,)  # in a tuple, otherwise its parameters would get second names
        self.train(model.training)
        self.task, self.causal = task, causal
        self.table_name = "transformer.wte.weight"
        self.position_name: str | None = "transformer.wpe.weight"
        if not causal:
            self.table_name = "bert.embeddings.word_embeddings.weight"
            self.position_name = "bert.embeddings.position_embeddings.weight"
        self.bias_name = "cls.predictions.bias" if task is Task.MASKED else None
        self.head_name = "cls.predictions.transform" if task is Task.MASKED else None
        entries = len(self.table)
        self.num_outputs = own.config.num_labels if task is Task.CLASSIFY else entries
        self.specials = _specials(tokenizer, entries, causal)
        s = self.specials
        marks = {s.pad, s.first, s.last, s.mask, *tokenizer.all_special_ids}
        self._special = marks - {
            None,
            tokenizer.unk_token_id,
        }  # the unknown token is part of a text

    @property
    def table(self) -> Tensor:
        """Token embedding ``(V, D)``."""
        owner, _, name = self.table_name.rpartition(".")
        table: Tensor = getattr(self.get_submodule(owner), name)
        return table

    @property
    def projections(self) -> list[tuple[str, ...]]:
        """Names of the modules for queries, keys and values of each layer."""
        layers = "transformer.h" if self.causal else "bert.encoder.layer"
        count = len(list(self.get_submodule(layers).children()))
        return [tuple(f"{layers}.{n}.{p}" for p in _PROJECTIONS[layers]) for n in range(count)]

    def is_special(self, token: int) -> bool:
        """Return whether a token cannot be part of a text."""
        return token in self._special

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the input ``(B, T, D + 1)`` for tokens ``(B, T)``."""
        real = (tokens != self.specials.pad).to(self.table.dtype)
        known = tokens.clamp(max=len(self.table) - 1)  # padding may have no entry
        return torch.cat([self.table[known], real[..., None]], dim=-1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits ``(B, T, V)``, or ``(B, classes)`` for classification.

        Args:
            inputs: tokens ``(B, T)`` int64, or what `embed` returns.
        """
        embedded = inputs if inputs.is_floating_point() else self.embed(inputs)
        words, real = embedded[..., :-1], embedded[..., -1]
        batch, length = real.shape
        # A full mask, because the library would create one by branching on values.
        seen = real[:, None, None, :].expand(batch, 1, length, length)
        if self.causal:
            seen = seen * torch.ones((length, length), device=real.device, dtype=real.dtype).tril()
        [whole] = self._whole
        arguments = {
            "inputs_embeds": words,
            "attention_mask": (1 - seen) * torch.finfo(words.dtype).min,
            "position_ids": torch.arange(length, device=real.device).expand(batch, length),
        }
        if not self.causal or self.task is Task.NEXT:
            logits: Tensor = whole(**arguments).logits
            return logits
        each: Tensor = whole.score(whole.transformer(**arguments).last_hidden_state)
        last = (real.cumsum(1) == real.sum(1, keepdim=True)) * real
        return (each * last[..., None]).sum(1)


def _specials(tokenizer: Any, entries: int, causal: bool) -> Specials:
    """Return the special tokens of a tokenizer.

    Raises:
        AttackError: it has no end-of-text token.
    """
    last = tokenizer.eos_token_id if causal else tokenizer.sep_token_id
    if last is None:
        raise AttackError(
            f"the tokenizer has no {'eos_token' if causal else 'sep_token'}, which ends a text: "
            "set it"
        )
    pad = tokenizer.pad_token_id
    # Padding with the last token is ambiguous; no text has a token beyond the table.
    pad = entries if pad is None or pad == last else pad
    first, mask = (None, None) if causal else (tokenizer.cls_token_id, tokenizer.mask_token_id)
    return Specials(pad=pad, first=first, last=last, mask=mask)


def _transformers() -> ModuleType:
    try:
        return import_module("transformers")
    except ImportError as error:
        raise AttackError(
            f"transformers cannot be imported ({error}); "
            "install it: pip install 'fedsim-leakage[text]'"
        ) from None
