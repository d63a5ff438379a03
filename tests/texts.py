"""Small language models with random weights, and what their clients upload."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fedsim.attacks import Observation
from fedsim.clients.training import gradient
from fedsim.core.tasks import Task
from fedsim.data.tokens import TextDataset, Texts, TokenDataset
from fedsim.models import Bert, Gpt2, TextModel, Vocabulary
from fedsim.models.text.extra import need

SENTENCES = (
    "the doctor told me the results on monday",
    "please send the money to my new account",
    "i am leaving him next week",
    "a friend of mine lost the old keys",
    "her lawyer wants to sell the house",
    "our teacher is ill and stays at home",
    "my friend lost",
    "sell the house",
)
SHORT, OTHER_SHORT = 6, 7
PUBLIC = ("my friend is ill", "the lawyer lost the house")
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_TOKENS = 16

DATA = TextDataset(
    "small", Texts(SENTENCES, (0, 1) * 4), Texts(PUBLIC, (0, 1)), ("first", "second")
)


@cache
def vocabulary(extra: int = 300) -> Vocabulary:
    """Return a vocabulary of the sentences' words, and others beside them."""
    words = {word for text in (*SENTENCES, *PUBLIC) for word in text.split()}
    entries = [*MARKS, *sorted(words), *(f"word{n}" for n in range(extra))]
    table = {word: number for number, word in enumerate(entries)}
    made = need("tokenizers").BertWordPieceTokenizer(vocab=table, lowercase=True)
    return Vocabulary(made._tokenizer, "small")


def victim(
    task: Task, *, causal: bool | None = None, width: int = 96, layers: int = 2, seed: int = 0
) -> tuple[TokenDataset, TextModel]:
    """Return texts and a model in evaluation mode.

    Args:
        task: what it is trained to do.
        causal: whether it is GPT-2, and not BERT; as the task has it unless said.
        width: of its hidden states.
        layers: how many.
        seed: of its weights.
    """
    kind = Gpt2 if causal or (causal is None and task is Task.NEXT) else Bert
    spec = kind(task=task.value, layers=layers, width=width, heads=4, max_tokens=MAX_TOKENS)
    words = vocabulary()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = spec._build(None, words, DATA).eval()
    return words.prepare(DATA, task, MAX_TOKENS, first=not spec.causal), model


def upload(
    data: TokenDataset, model: TextModel, indices: Sequence[int], seed: int = 0
) -> tuple[Observation, Tensor]:
    """Return what the server sees of a batch, and the batch's texts ``(B, L)``."""
    inputs, labels = data.train.batch(np.array(indices), seed=seed)
    known = {name for name, p in model.named_parameters() if p.requires_grad}
    arrays = gradient(model, (inputs, labels)).arrays
    shared = {name: arrays[name] for name in arrays if name in known}
    lengths = tuple(data.train.lengths([inputs]))
    seen = Observation(shared, (inputs.shape[1],), len(indices), lengths=lengths)
    return seen, data.train.originals(inputs, labels)


def rows(data: Tensor | None) -> list[tuple[int, ...]]:
    """Return the texts of a batch in an order of their own."""
    assert data is not None
    return sorted(tuple(row) for row in data.tolist())
