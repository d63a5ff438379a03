"""Small models of Hugging Face's with random weights give their texts away."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import DLG, BagOfTokens, Dager, Observation, TextModel, as_text_model
from fedsim.core.errors import AttackError
from fedsim.core.tasks import IGNORED
from fedsim.models.text.extra import need

WORDS = [f"word{n}" for n in range(60)]
TEXT = [7, 31, 12, 55, 20]


class Marks:
    """A tokenizer's special tokens, which are all that is asked of one."""

    def __init__(self, causal: bool) -> None:
        self.pad_token_id = None if causal else 0
        self.cls_token_id = None if causal else 1
        self.sep_token_id = None if causal else 2
        self.mask_token_id = None if causal else 3
        self.unk_token_id = 4
        self.eos_token_id = 5 if causal else None
        own = (0, 1, 2, 3, 4) if not causal else (4, 5)
        self.all_special_ids = list(own)


def tiny(name: str) -> nn.Module:
    """Return a model with random weights, in evaluation mode."""
    library = need("transformers")
    if name.startswith("GPT2"):
        config = library.GPT2Config(
            vocab_size=60, n_embd=48, n_layer=2, n_head=4, n_positions=12,
            bos_token_id=None, eos_token_id=5, num_labels=3,
        )  # fmt: skip
    else:
        config = library.BertConfig(
            vocab_size=60, hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, max_position_embeddings=12, num_labels=3,
        )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = getattr(library, name)(config).eval()
    return model


def shared(model: nn.Module, tokens: list[int], labels: Tensor) -> Observation:
    """Return the gradient of the library's own loss, by the library's own names."""
    inputs = torch.tensor([tokens])
    call: Any = model
    call(input_ids=inputs, attention_mask=torch.ones_like(inputs), labels=labels).loss.backward()
    gradient = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    return Observation(gradient, (len(tokens),), lengths=(len(tokens),))


def case(name: str) -> tuple[TextModel, Observation, list[int]]:
    model, causal = tiny(name), name.startswith("GPT2")
    tokens = [*TEXT, 5] if causal else [1, *TEXT, 2]
    if name == "BertForMaskedLM":
        hidden = list(tokens)
        labels = torch.full((1, len(tokens)), IGNORED)
        labels[0, 2], hidden[2] = tokens[2], 3
        return as_text_model(model, Marks(causal)), shared(model, hidden, labels), tokens
    labels = torch.tensor([tokens]) if name == "GPT2LMHeadModel" else torch.tensor([1])
    return as_text_model(model, Marks(causal)), shared(model, tokens, labels), tokens


EVERY = [
    "BertForMaskedLM",
    "BertForSequenceClassification",
    "GPT2LMHeadModel",
    "GPT2ForSequenceClassification",
]
every_model = pytest.mark.parametrize("name", EVERY)


@pytest.mark.slow
@every_model
def test_the_text_is_read(name: str) -> None:
    model, seen, tokens = case(name)
    assert isinstance(model, nn.Module)
    [found] = Dager().run(model, [seen])
    assert found.error is None
    assert found.data is not None
    assert found.data[0].tolist() == tokens


@pytest.mark.slow
@every_model
def test_the_bag_is_read(name: str) -> None:
    model, seen, tokens = case(name)
    assert isinstance(model, nn.Module)
    [found] = BagOfTokens().run(model, [seen])
    assert found.data is not None, found.error
    assert Counter(found.data[0].tolist()) == Counter(tokens)


@every_model
def test_logits_are_the_librarys(name: str) -> None:
    """With padding too, from tokens and from embeddings."""
    original = tiny(name)
    model = as_text_model(original, Marks(name.startswith("GPT2")))
    assert isinstance(model, nn.Module)
    assert [k for k, _ in model.named_parameters()] == [k for k, _ in original.named_parameters()]
    tokens = torch.tensor([[9, 8, 7, 6]])
    padded = torch.tensor([[9, 8, 7, 6, model.specials.pad, model.specials.pad]])
    call: Any = original
    expected = call(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    for inputs in (padded, model.embed(padded)):
        found = model(inputs)
        found = found[:, :4] if expected.ndim == 3 else found
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_gradients_can_be_matched() -> None:
    """Attention of the library's own choice has no second derivative; that of the copy has."""
    model, seen, tokens = case("BertForSequenceClassification")
    assert isinstance(model, nn.Module)
    [found] = DLG(evaluations=3).run(model, [seen])
    assert found.data is not None, found.error
    assert found.data.shape == (1, len(tokens))


def test_the_model_is_left_alone() -> None:
    original = tiny("GPT2LMHeadModel")
    settings = json.dumps(original.config.to_dict(), default=str)
    before = {k: v.clone() for k, v in original.state_dict().items()}
    model = as_text_model(original, Marks(causal=True))
    assert isinstance(model, nn.Module)
    with torch.no_grad():
        next(model.parameters()).zero_()
    assert all(torch.equal(v, before[k]) for k, v in original.state_dict().items())
    assert json.dumps(original.config.to_dict(), default=str) == settings


def test_other_models_are_refused() -> None:
    with pytest.raises(AttackError, match="a Linear is not supported: expected one of BertFor"):
        as_text_model(nn.Linear(2, 2), Marks(causal=False))


def test_a_tokenizer_without_an_end_is_refused() -> None:
    with pytest.raises(AttackError, match="no sep_token, which ends a text"):
        as_text_model(tiny("BertForMaskedLM"), Marks(causal=True))


def test_a_real_tokenizer(tmp_path: Path) -> None:
    """The library's own tokenizer has the attributes that are asked for."""
    entries = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", *WORDS]
    (tmp_path / "vocab.txt").write_text("\n".join(entries))
    tokenizer = need("transformers").BertTokenizer(str(tmp_path / "vocab.txt"))
    model = as_text_model(tiny("BertForMaskedLM"), tokenizer)
    assert (model.specials.pad, model.specials.first, model.specials.last) == (0, 1, 2)
    assert [t for t in range(60) if model.is_special(t)] == [0, 1, 2, 3]
