"""BERT."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import nn

from fedsim.core.registry import MODELS
from fedsim.core.tasks import Task
from fedsim.models.text.base import LanguageModel
from fedsim.models.text.extra import need
from fedsim.models.text.module import TextModel
from fedsim.models.text.vocabulary import Vocabulary


@MODELS.register("bert")
class Bert(LanguageModel):
    """BERT, for masked-language modelling or for text classification.

    Devlin et al., 2019 (arXiv 1810.04805); the layers are those of Hugging Face's transformers.

    Args:
        task: ``masked`` predicts masked tokens, ``classify`` the class of a text.
    """

    causal: ClassVar[bool] = False

    task: Literal["masked", "classify"] = "masked"

    @property
    def aim(self) -> Task:
        """Training task of the model."""
        return Task(self.task)

    def config(self, vocabulary: Vocabulary) -> Any:
        """Return transformers' configuration for random weights."""
        return need("transformers").BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.width,
            max_position_embeddings=self.max_tokens,
            pad_token_id=vocabulary.specials.pad,
        )

    def assemble(self, config: Any, vocabulary: Vocabulary, classes: int) -> TextModel:
        """Return the model with random weights."""
        backbone = need("transformers").BertModel(config, add_pooling_layer=False)
        width = config.hidden_size
        head: nn.Module = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        if self.aim is Task.MASKED:
            norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
            head = nn.Sequential(nn.Linear(width, width), nn.GELU(), norm)
        table = "embeddings.word_embeddings.weight"
        return TextModel(backbone, head, vocabulary, self.aim, self.causal, classes, table)

    def prefix(self) -> str:
        """Return the optional prefix of the names of the backbone's tensors in a file."""
        return "bert."

    def is_embedding(self, name: str) -> bool:
        """Return whether a parameter belongs to the embeddings."""
        return name.startswith("backbone.embeddings.")
