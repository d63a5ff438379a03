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
    """A tokenizer with its special tokens. Immutable, so it is never copied.

    Attributes:
        specials: the special tokens.
        unknown: the token in place of text that the vocabulary cannot express, which is part of a
            text and not special; None if every text can be expressed.

    Args:
        tokenizer: a tokenizer of Hugging Face's ``tokenizers``.
        name: name in error messages.

    Raises:
        DataError: it lacks an end-of-text token or a padding token.
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
                f"the vocabulary {name!r} has no [SEP], <|endoftext|> or </s>, "
                "one of which must end a text: expected the vocabulary of a BERT or GPT-2 model"
            )
        pad = number("[PAD]", "<pad>")
        # GPT-2's vocabulary has no padding token; no text contains this number.
        self.specials = Specials(
            pad=len(self) if pad is None else pad,
            first=number("[CLS]", "<s>"),
            last=last,
            mask=number("[MASK]", "<mask>"),
        )
        self.unknown = number("[UNK]", "<unk>")

    def __len__(self) -> int:
        size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        return size

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def encode(self, text: str, *, first: bool) -> list[int]:
        """Return a text's tokens, enclosed in special tokens.

        Args:
            text: the text.
            first: whether the model needs a special token at the start.
        """
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        begin = [self.specials.first] if first and self.specials.first is not None else []
        return [*begin, *ids, self.specials.last]

    def words(self, tokens: Sequence[int]) -> list[str]:
        """Return the displayed form of each token, including special tokens."""
        return [self._tokenizer.id_to_token(int(t)) or "[?]" for t in tokens]

    def text(self, tokens: Sequence[int]) -> str:
        """Return tokens as a text, without special tokens."""
        decoded: str = self._tokenizer.decode([int(t) for t in tokens], skip_special_tokens=True)
        return decoded

    def is_special(self, token: int) -> bool:
        """Return whether a token is special, and so not a part of any text."""
        return token in self._special

    def count_unknown(self, text: str) -> tuple[int, int]:
        """Return the number of a text's tokens that are unknown, and of all of them."""
        tokens = self.encode(text, first=False)[:-1]
        return tokens.count(-1 if self.unknown is None else self.unknown), len(tokens)

    @cached_property
    def _special(self) -> frozenset[int]:
        unused = (n for t, n in self._tokenizer.get_vocab().items() if t.startswith("[unused"))
        return self._marks.union(unused)

    @property
    def _marks(self) -> frozenset[int]:
        s = self.specials
        return frozenset(t for t in (s.pad, s.first, s.last, s.mask) if t is not None)

    def prepare(
        self, dataset: TextDataset, task: Task, max_tokens: int, *, first: bool
    ) -> TokenDataset:
        """Return a data set tokenised with this vocabulary.

        Args:
            dataset: the texts.
            task: the training task.
            max_tokens: maximum number of tokens in a text, including special tokens.
            first: whether the model needs a special token at the start.

        Raises:
            DataError: a text is empty, too long or contains a special token, or the vocabulary has
                no mask token.
        """
        if task is Task.MASKED and self.specials.mask is None:
            raise DataError(
                f"the vocabulary {self.name!r} has no mask token: expected the vocabulary of "
                "a BERT model, or another task than 'masked'"
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
            least = 3 if first else 2  # the special tokens, and at least one other token
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
    """Read the vocabulary in the folder of a model's weights.

    Raises:
        DataError: the vocabulary is missing or unreadable, or the extra ``text`` is not installed.
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
