"""GPT-2."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import nn

from fedsim.core.registry import MODELS
from fedsim.core.tasks import Task
from fedsim.models.text.base import LanguageModel
from fedsim.models.text.extra import need
from fedsim.models.text.module import TextModel
from fedsim.models.text.vocabulary import Vocabulary


@MODELS.register("gpt2")
class Gpt2(LanguageModel):
    """GPT-2, for predicting each token from the previous ones, or for text classification.

    Radford et al., 2019; the layers are those of Hugging Face's transformers. A text ends with
    the vocabulary's end token, so that its own last token is an input too.

    Args:
        task: ``next`` predicts each next token, ``classify`` the class of a text.
    """

    causal: ClassVar[bool] = True

    task: Literal["next", "classify"] = "next"

    @property
    def aim(self) -> Task:
        """Training task of the model."""
        return Task(self.task)

    def config(self, vocabulary: Vocabulary) -> Any:
        """Return transformers' configuration for random weights."""
        return need("transformers").GPT2Config(
            vocab_size=len(vocabulary),
            n_embd=self.width,
            n_layer=self.layers,
            n_head=self.heads,
            n_positions=self.max_tokens,
            bos_token_id=None,
            eos_token_id=None,
        )

    def assemble(self, config: Any, vocabulary: Vocabulary, classes: int) -> TextModel:
        """Return the model with random weights."""
        backbone = need("transformers").GPT2Model(config)
        return TextModel(
            backbone, nn.Identity(), vocabulary, self.aim, self.causal, classes, "wte.weight"
        )

    def prefix(self) -> str:
        """Return the optional prefix of the names of the backbone's tensors in a file."""
        return "transformer."

    def is_embedding(self, name: str) -> bool:
        """Return whether a parameter belongs to the embeddings."""
        return name.startswith(("backbone.wte.", "backbone.wpe."))
