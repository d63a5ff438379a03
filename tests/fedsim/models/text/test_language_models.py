"""What holds for every language model."""

import copy
import pickle
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.func import functional_call, grad, vmap

from fedsim.core.errors import DataError
from fedsim.core.tasks import Task
from fedsim.data.texts.messages import messages
from fedsim.models import Bert, Gpt2, LanguageModel, TextModel, cross_entropy
from tests.rounding import assert_same
from tests.texts import DATA, victim, vocabulary

pytestmark = pytest.mark.numeric

TINY = {"layers": 1, "width": 8, "heads": 2}
SPECS = [
    Bert(**TINY),
    Bert(**TINY, task="classify"),
    Gpt2(**TINY),
    Gpt2(**TINY, task="classify"),
]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{type(s).__name__} {s.aim}")
KINDS = [(Task.MASKED, False), (Task.CLASSIFY, False), (Task.NEXT, True), (Task.CLASSIFY, True)]
every_kind = pytest.mark.parametrize(("task", "causal"), KINDS, ids=str)


def small(task: Task, causal: bool) -> TextModel:
    return victim(task, causal=causal, width=16)[1]


def texts(length: int, count: int = 2, seed: int = 0) -> Tensor:
    words = range(5, len(vocabulary()))
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(words.start, words.stop, (count, length), generator=generator)


def loss_of(model: TextModel, inputs: Tensor) -> Tensor:
    logits = model(inputs)
    labels = torch.zeros(logits.shape[:-1], dtype=torch.long)
    return cross_entropy(logits, labels)


@every_spec
def test_built_for_data(spec: LanguageModel) -> None:
    data, model = spec.for_data(DATA, seed=3)
    inputs, labels = data.train.batch(np.arange(3))
    logits = model(inputs)
    assert model.training
    assert model.backbone.config._attn_implementation == "eager"  # what is fused lacks derivatives
    assert model.task is spec.aim is data.train.task
    if spec.aim is Task.CLASSIFY:
        assert logits.shape == (3, 2)
    else:
        assert logits.shape == (*inputs.shape, len(model.vocabulary)) == (*labels.shape, 1524)
    assert model.num_outputs == logits.shape[-1]
    assert torch.isfinite(cross_entropy(logits, labels))


@every_spec
def test_weights_depend_on_the_seed_alone(spec: LanguageModel) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one, again, other = (spec.for_data(DATA, seed=seed)[1].state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@every_spec
def test_training_mode_draws_nothing(spec: LanguageModel) -> None:
    """There is no dropout."""
    data, model = spec.for_data(DATA, seed=0)
    inputs, _ = data.train.batch(np.arange(2))
    assert torch.equal(model.train()(inputs), model.train()(inputs))
    assert torch.equal(model.train()(inputs), model.eval()(inputs))


@every_spec
def test_specs_are_values(spec: LanguageModel) -> None:
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301  (our own pickle)
    assert hash(spec) == hash(copy.deepcopy(spec))


@pytest.mark.parametrize("kind", [Bert, Gpt2])
@pytest.mark.parametrize(
    "parameters",
    [
        {"layers": 0},
        {"width": 1.5},
        {"max_tokens": 2},
        {"max_tokens": 513},
        {"frozen": "all"},
        {"pretrained": ""},
        {"task": "translate"},
        {"nonsense": 1},
    ],
    ids=str,
)
def test_bad_parameters(kind: type[LanguageModel], parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        kind(**parameters)  # type: ignore[arg-type]


def test_a_width_that_the_heads_do_not_divide() -> None:
    with pytest.raises(DataError, match="width = 9 is not a multiple of heads = 2: change one"):
        Bert(layers=1, width=9, heads=2).for_data(DATA, seed=0)


def test_a_text_that_is_too_long() -> None:
    with pytest.raises(DataError) as caught:
        Bert(**TINY, max_tokens=7).for_data(DATA, seed=0)
    assert "small, training text 1 has 12 tokens, more than the model's max_tokens = 7" in str(
        caught.value
    )
    assert "shorten it, or raise max_tokens" in str(caught.value)


@pytest.mark.parametrize("missing", ["transformers", "tokenizers"])
def test_a_missing_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DataError) as caught:
        Bert(**TINY).for_data(DATA, seed=0)
    assert f"texts need {missing!r}, which cannot be imported" in str(caught.value)
    assert "pip install 'fedsim-leakage[text]'" in str(caught.value)


@every_kind
def test_embeddings_in_place_of_tokens(task: Task, causal: bool) -> None:
    model = small(task, causal)
    tokens = texts(6)
    tokens[1, 4:] = model.vocabulary.specials.pad
    embedded = model.embed(tokens)
    assert embedded.shape == (2, 6, model.table.shape[1] + 1)
    assert torch.equal(embedded[..., -1], (tokens != model.vocabulary.specials.pad).float())
    assert torch.equal(model(embedded), model(tokens))


@every_kind
@given(st.integers(1, 8), st.integers(1, 6))
@settings(deadline=None, max_examples=15)
def test_padding_changes_nothing(task: Task, causal: bool, length: int, padding: int) -> None:
    model = small(task, causal).double()
    alone = texts(length, count=1)
    filled = torch.nn.functional.pad(alone, (0, padding), value=model.vocabulary.specials.pad)
    longer = torch.cat([filled, texts(length + padding, count=1, seed=1)])
    together = model(longer)[:1]
    together = together if task is Task.CLASSIFY else together[:, :length]
    assert_same(together, model(alone))


@every_kind
def test_padding_has_no_gradient(task: Task, causal: bool) -> None:
    """An upload does not say how far a text was filled up."""
    model = small(task, causal).double()
    pad = model.vocabulary.specials.pad
    inputs = texts(5, count=1)
    labels = torch.zeros((1,) if task is Task.CLASSIFY else (1, 5), dtype=torch.long)
    filled = torch.nn.functional.pad(inputs, (0, 4), value=pad)
    unseen = (
        labels if task is Task.CLASSIFY else torch.nn.functional.pad(labels, (0, 4), value=-100)
    )
    parameters = list(model.parameters())
    one = torch.autograd.grad(cross_entropy(model(inputs), labels), parameters)
    other = torch.autograd.grad(cross_entropy(model(filled), unseen), parameters)
    for a, b in zip(one, other, strict=True):
        assert_same(a, b, scale=1.0)


def test_what_a_position_sees() -> None:
    tokens = texts(6, count=1)
    changed = tokens.clone()
    changed[0, 3] = 5 if tokens[0, 3] != 5 else 6
    for causal in (False, True):
        model = small(Task.NEXT if causal else Task.MASKED, causal)
        before = (model(tokens)[0] - model(changed)[0]).abs().amax(1) > 1e-7
        assert before.tolist() == [not causal] * 3 + [True] * 3


def test_the_summary_of_a_decoder_is_its_last_own_position() -> None:
    model = small(Task.CLASSIFY, True)
    tokens = texts(6, count=2)
    tokens[1, 4:] = model.vocabulary.specials.pad
    hidden: list[Tensor] = []
    model.backbone.register_forward_hook(lambda _m, _i, out: hidden.append(out.last_hidden_state))
    logits = model(tokens)
    expected = model.classifier(torch.stack([hidden[0][0, 5], hidden[0][1, 3]]))
    torch.testing.assert_close(logits, expected)


@every_kind
def test_the_table_is_one_parameter(task: Task, causal: bool) -> None:
    """The tied output layer is the table itself, and its gradient has both parts."""
    model = small(task, causal)
    counts = Counter(tuple(p.shape) for p in model.parameters())
    assert counts[tuple(model.table.shape)] == 1
    assert model.get_parameter(model.table_name) is model.table
    tokens = texts(4)
    [table] = torch.autograd.grad(loss_of(model, tokens), [model.table])
    untouched = [t for t in range(len(model.table)) if t not in tokens]
    if task is Task.CLASSIFY:
        assert not table[untouched].any()
    else:
        assert (table[untouched].norm(dim=1) > 0).all()
        with torch.no_grad():
            model.bias[7] += 3.0
            before = model(tokens)
            model.bias[7] -= 3.0
        torch.testing.assert_close(before[..., 7] - 3.0, model(tokens)[..., 7])


@every_kind
def test_second_derivatives(task: Task, causal: bool) -> None:
    """By autograd twice, against finite differences of the first derivative."""
    model = small(task, causal).double()
    words, real = model.embed(texts(4, count=1)).detach().split([16, 1], dim=-1)
    # Where kinds are told apart, an embedding in place of a token does not come from the table.
    parameters = [p for n, p in model.named_parameters() if "word" not in n and "wte" not in n]

    def size(inputs: Tensor) -> Tensor:
        loss = loss_of(model, torch.cat([inputs, real], dim=-1))
        found = torch.autograd.grad(loss, parameters, create_graph=True)
        return sum((g.square().sum() for g in found), torch.zeros(()))

    leaf = words.clone().requires_grad_()
    [slope] = torch.autograd.grad(size(leaf), [leaf])
    direction = torch.randn(words.shape, generator=torch.Generator().manual_seed(0)).double()
    step = 1e-5
    difference = (size(words + step * direction) - size(words - step * direction)) / (2 * step)
    assert float((slope * direction).sum()) == pytest.approx(difference.item(), rel=1e-5)


@every_kind
def test_batched_gradients(task: Task, causal: bool) -> None:
    """As attacks take them: vmap over grad of a functional call."""
    model = small(task, causal).double()
    parameters = dict(model.named_parameters())
    points = torch.stack([model.embed(texts(4, count=1, seed=n)) for n in range(3)]).detach()

    def loss(values: dict[str, Tensor], inputs: Tensor) -> Tensor:
        logits = functional_call(model, values, (inputs,))
        return logits.square().mean()

    together = vmap(grad(loss), in_dims=(None, 0))(parameters, points)
    for lane, point in enumerate(points):
        alone = grad(loss)(parameters, point)
        for name in parameters:
            assert_same(together[name][lane], alone[name], scale=1.0)


@every_spec
def test_frozen_embeddings(spec: LanguageModel) -> None:
    """No table of words or places has a gradient, nor the output layer that is tied to it."""
    frozen = type(spec)(**TINY, task=spec.aim.value, frozen="embeddings")  # type: ignore[call-arg]
    _, model = frozen.for_data(DATA, seed=0)
    still = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert model.table_name in still
    assert any("position" in name or "wpe" in name for name in still)
    assert ("bias" in still) is (spec.aim is not Task.CLASSIFY)
    assert all(name == "bias" or spec.is_embedding(name) for name in still)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any("embeddings" in name or "wte" in name or "wpe" in name for name in trained)
    assert any(name.startswith("backbone.") for name in trained)
    free = spec.for_data(DATA, seed=0)[1]
    assert all(p.requires_grad for p in free.parameters())


def test_public_messages_fit_the_models_defaults() -> None:
    for spec in (Bert(layers=1, width=4, heads=1), Gpt2(layers=1, width=4, heads=1)):
        data, _ = spec.for_data(messages(), seed=0)
        assert data.train.tokens.shape[1] <= spec.max_tokens


def test_a_remark_on_tokens_that_the_vocabulary_lacks() -> None:
    assert Bert().remark_on("see you at noon") is None
    some = Bert().remark_on("see you at noon \u4eca")
    assert some is not None
    assert some.startswith("1 of 5 tokens are unknown to the vocabulary 'messages'")
    assert "nothing readable is in the upload" in str(Bert().remark_on("\u4eca \u5929"))
