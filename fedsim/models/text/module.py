"""A language model that takes tokens or embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedsim.core.modality import TEXTS
from fedsim.core.tasks import Task
from fedsim.models.text.vocabulary import Vocabulary

_POSITIONS = ("backbone.embeddings.position_embeddings.weight", "backbone.wpe.weight")


class TextModel(nn.Module):
    """A Hugging Face transformer with a head for one task.

    Attacks on texts accept it, since it has the attributes of the protocol that they own.

    The logits over the vocabulary are the product of the head's features and the token embedding
    (tied weights), computed here, so that the table is one parameter with one name.

    Attributes:
        vocabulary: of its tokens.
        task: what it is trained to do.
        causal: whether a position sees those before it alone.
        num_outputs: entries of the vocabulary, or classes.
        specials: the vocabulary's special tokens.
        table_name: name of the word embeddings' parameter.
        position_name: name of the position embeddings' parameter.
        bias_name: name of the bias over the vocabulary; None for classification.
        head_name: name of the head with a dense layer in front of the vocabulary; None without.

    Args:
        backbone: the transformer.
        head: from hidden states to features ``(B, T, D)``; for classification to the features
            that the classifier takes.
        vocabulary: vocabulary of its tokens.
        task: training task.
        causal: whether a position attends only to earlier positions.
        classes: number of classes of texts.
        table: name of the token embedding's parameter in the backbone.
    """

    modality: str = TEXTS

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        vocabulary: Vocabulary,
        task: Task,
        causal: bool,
        classes: int,
        table: str,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.vocabulary, self.task, self.causal = vocabulary, task, causal
        self.specials = vocabulary.specials
        self.table_name = f"backbone.{table}"
        self.position_name = next(n for n in _POSITIONS if n in dict(self.named_parameters()))
        self.bias_name = None if task is Task.CLASSIFY else "bias"
        self.head_name = "head" if task is Task.MASKED else None
        entries, width = self.table.shape
        self.num_outputs = classes if task is Task.CLASSIFY else entries
        if task is Task.CLASSIFY:
            self.classifier = nn.Linear(width, classes)
        else:
            self.bias = nn.Parameter(torch.zeros(entries))

    @property
    def table(self) -> Tensor:
        """Token embedding ``(V, D)``."""
        owner, _, name = self.table_name.rpartition(".")
        # Not get_parameter, which rejects the tensors that functional_call substitutes.
        table: Tensor = getattr(self.get_submodule(owner), name)
        return table

    @property
    def projections(self) -> list[tuple[str, ...]]:
        """The names of the modules that make queries, keys and values, for each layer."""
        names = {name for name, _ in self.named_modules()}
        layers: list[tuple[str, ...]] = []
        while True:
            bert = f"backbone.encoder.layer.{len(layers)}.attention.self"
            own = tuple(f"{bert}.{part}" for part in ("query", "key", "value"))
            gpt = (f"backbone.h.{len(layers)}.attn.c_attn",)
            layer = next((each for each in (own, gpt) if names.issuperset(each)), None)
            if layer is None:
                return layers
            layers.append(layer)

    def is_special(self, token: int) -> bool:
        """Return whether a token cannot be part of a text."""
        return self.vocabulary.is_special(token)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings of tokens ``(B, T)`` in the form that `forward` takes."""
        real = (tokens != self.vocabulary.specials.pad).to(self.table.dtype)
        known = tokens.clamp(max=self.table.shape[0] - 1)  # GPT-2 has no padding of its own
        return torch.cat([self.table[known], real[..., None]], dim=-1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits: ``(B, T, V)``, or ``(B, classes)`` for classification.

        Args:
            inputs: tokens ``(B, T)`` int64; or ``(B, T, D + 1)`` floating: token embeddings,
                followed by 1 for a token or 0 for padding.
        """
        embedded = inputs if inputs.is_floating_point() else self.embed(inputs)
        words, real = embedded[..., :-1], embedded[..., -1]
        hidden = self._transform(words, real)
        if self.task is Task.CLASSIFY:
            logits: Tensor = self.classifier(self.head(self._summary(hidden, real)))
            return logits
        features: Tensor = self.head(hidden)
        return features @ self.table.T + self.bias

    def _transform(self, words: Tensor, real: Tensor) -> Tensor:
        batch, length = real.shape
        # The full mask is made here: the library's code depends on the data, which vmap forbids.
        seen = real[:, None, None, :].expand(batch, 1, length, length)
        if self.causal:
            seen = seen * torch.ones((length, length), device=real.device, dtype=real.dtype).tril()
        blocked = (1 - seen) * torch.finfo(words.dtype).min
        positions = torch.arange(length, device=real.device).expand(batch, length)
        output = self.backbone(inputs_embeds=words, attention_mask=blocked, position_ids=positions)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _summary(self, hidden: Tensor, real: Tensor) -> Tensor:
        """Return the hidden state that represents a text: the first, or the last if causal."""
        if not self.causal:
            return hidden[:, 0]
        last = (real.cumsum(1) == real.sum(1, keepdim=True)) * real
        return (hidden * last[..., None]).sum(1)
