"""The vocabulary of a language model: from text to numbers, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from fedsim.core.errors import DataError
from fedsim.core.tasks import Specials, Task
from fedsim.data.tokens import TextDataset, Texts, TokenDataset, TokenSplit
from fedsim.models.text.extra import need

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_EMBEDDED = "messages-vocabulary.json"
_FILES = ("tokenizer.json", "vocab.txt")


class Vocabulary:
    """A tokenizer with its special tokens. Immutable, and so never copied.

    Args:
        tokenizer: of Hugging Face's ``tokenizers``.
        name: what errors call it.

    Raises:
        DataError: it lacks a token that marks the end of a text, or one that pads.
    """

    def __init__(self, tokenizer: Tokenizer, name: str) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

        def number(*texts: str) -> int | None:
            found = (tokenizer.token_to_id(t) for t in texts)
            return next((n for n in found if n is not None), None)

        last = number("[SEP]", "<|endoftext|>", "</s>")
        if last is None:
            raise DataError(
                f"the vocabulary {name!r} has none of the tokens [SEP], <|endoftext|> and </s>, "
                "which end a text: expected that of a BERT or GPT-2 model"
            )
        pad = number("[PAD]", "<pad>")
        # GPT-2's own vocabulary pads with nothing of its own; a text never has this number.
        self.specials = Specials(
            pad=len(self) if pad is None else pad,
            first=number("[CLS]", "<s>"),
            last=last,
            mask=number("[MASK]", "<mask>"),
        )

    def __len__(self) -> int:
        size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        return size

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def encode(self, text: str, *, first: bool) -> list[int]:
        """Return a text's tokens between the special ones.

        Args:
            text: the text.
            first: whether the model wants a special token in front.
        """
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        begin = [self.specials.first] if first and self.specials.first is not None else []
        return [*begin, *ids, self.specials.last]

    def words(self, tokens: Sequence[int]) -> list[str]:
        """Return each token as it is shown, special ones too."""
        return [self._tokenizer.id_to_token(int(t)) or "[?]" for t in tokens]

    def text(self, tokens: Sequence[int]) -> str:
        """Return tokens as a text, without the special ones."""
        decoded: str = self._tokenizer.decode([int(t) for t in tokens], skip_special_tokens=True)
        return decoded

    def is_special(self, token: int) -> bool:
        """Return whether a token is no part of any text."""
        return token in self._special

    @cached_property
    def _special(self) -> frozenset[int]:
        unused = (n for t, n in self._tokenizer.get_vocab().items() if t.startswith("[unused"))
        unknown = self._tokenizer.token_to_id("[UNK]")
        return self._marks.union(unused, () if unknown is None else (unknown,))

    @property
    def _marks(self) -> frozenset[int]:
        s = self.specials
        return frozenset(t for t in (s.pad, s.first, s.last, s.mask) if t is not None)

    def prepare(
        self, dataset: TextDataset, task: Task, max_tokens: int, *, first: bool
    ) -> TokenDataset:
        """Return a data set's texts as this vocabulary's tokens.

        Args:
            dataset: the texts.
            task: what is to be predicted.
            max_tokens: the most that a text may have, special ones included.
            first: whether the model wants a special token in front.

        Raises:
            DataError: a text is empty, too long or has a special token in it, or the vocabulary
                has no mask token.
        """
        if task is Task.MASKED and self.specials.mask is None:
            raise DataError(
                f"the vocabulary {self.name!r} has no mask token: expected that of a BERT model, "
                "or another task than 'masked'"
            )
        splits = [
            self._split(part, task, max_tokens, first, f"{dataset.name}, {kind} text")
            for kind, part in (("training", dataset.train), ("test", dataset.test))
        ]
        return TokenDataset(dataset.name, splits[0], splits[1], dataset.classes)

    def _split(
        self, texts: Texts, task: Task, max_tokens: int, first: bool, what: str
    ) -> TokenSplit:
        rows = []
        for number, text in enumerate(texts.texts, start=1):
            row = self.encode(text, first=first)
            least = 3 if first else 2  # the special tokens, and one of the text's own
            if len(row) < least:
                raise DataError(f"{what} {number} has no tokens ({text!r:.40}): remove it")
            if len(row) > max_tokens:
                raise DataError(
                    f"{what} {number} has {len(row)} tokens, more than the model's max_tokens = "
                    f"{max_tokens} ({text!r:.40}): shorten it, or raise max_tokens"
                )
            marks = self._marks.intersection(row[least - 2 : -1])
            if marks:
                raise DataError(
                    f"{what} {number} has the special token {self.words(sorted(marks))[0]} "
                    f"({text!r:.40}): remove it"
                )
            rows.append(torch.tensor(row))
        pad = self.specials.pad
        tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
        return TokenSplit(tokens, torch.tensor(texts.labels), task, self.specials)


def embedded_vocabulary() -> Vocabulary:
    """Return the WordPiece vocabulary that comes with fedsim, made from its own messages.

    Raises:
        DataError: the extra for texts is not installed.
    """
    tokenizers = need("tokenizers")
    text = resources.files("fedsim.data.embedded").joinpath(_EMBEDDED).read_text("utf-8")
    entries = {token: number for number, token in enumerate(json.loads(text))}
    wordpiece = tokenizers.BertWordPieceTokenizer(vocab=entries, lowercase=True)
    return Vocabulary(wordpiece._tokenizer, "messages")


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read the vocabulary that lies beside a model's weights.

    Raises:
        DataError: there is none, it cannot be read, or the extra for texts is not installed.
    """
    tokenizers = need("tokenizers")
    full, plain = (folder / name for name in _FILES)
    try:
        if full.is_file():
            return Vocabulary(tokenizers.Tokenizer.from_file(str(full)), str(folder))
        if plain.is_file():
            made = tokenizers.BertWordPieceTokenizer.from_file(str(plain), lowercase=True)
            return Vocabulary(made._tokenizer, str(folder))
    except DataError:
        raise
    except Exception as error:  # the library raises plain Exception for a broken file
        raise DataError(f"{folder}: its vocabulary cannot be read: {error}") from None
    raise DataError(f"{folder} holds no vocabulary: expected {' or '.join(_FILES)}")
