"""Texts that are read off a gradient: the bag of tokens, DAGER, and what stands behind masks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.attacks import DLG, BagOfTokens, Dager, Status
from fedsim.attacks.text.bag import bag_of_tokens
from fedsim.attacks.text.masked import fill_masked
from fedsim.core.tasks import IGNORED, Task
from fedsim.data.tokens import TextDataset, Texts
from tests.texts import DATA, MAX_TOKENS, SENTENCES, rows, upload, victim, vocabulary

EXACT = [BagOfTokens(), Dager()]
every_attack = pytest.mark.parametrize("attack", EXACT, ids=lambda a: type(a).__name__)
KINDS = [(Task.MASKED, False), (Task.CLASSIFY, False), (Task.NEXT, True), (Task.CLASSIFY, True)]
every_kind = pytest.mark.parametrize(("task", "causal"), KINDS, ids=str)

words = st.lists(
    st.sampled_from(sorted({w for s in SENTENCES for w in s.split()})), min_size=1, max_size=9
)


@every_attack
@every_kind
def test_one_text_comes_back_exactly(attack: Dager, task: Task, causal: bool) -> None:
    """In order, also what was masked: for a batch of one nothing is lost."""
    data, model = victim(task, causal=causal, width=64)
    pairs = [upload(data, model, [i], seed=i) for i in range(4)]
    found = attack.run(model, [seen for seen, _ in pairs])
    for result, (_, truth) in zip(found, pairs, strict=True):
        assert result.status is Status.COMPUTED, result.error
        assert result.data is not None
        assert torch.equal(result.data, truth)
        assert 0 <= result.relative_objective < 1


@pytest.mark.parametrize(("task", "causal"), [(Task.CLASSIFY, False), (Task.NEXT, True)], ids=str)
@given(st.lists(words, min_size=1, max_size=1))
@settings(deadline=None, max_examples=12)
def test_the_bag_of_any_text(task: Task, causal: bool, texts: list[list[str]]) -> None:
    """Its own words, all of them and no other; and in order, as places are trained."""
    _, model = victim(task, causal=causal, width=48)
    mine = TextDataset("mine", Texts((" ".join(texts[0]),), (0,)), DATA.test, DATA.classes)
    data = vocabulary().prepare(mine, task, MAX_TOKENS, first=not causal)
    seen, truth = upload(data, model, [0])
    bag = bag_of_tokens(model, seen)
    assert bag is not None
    own = {t for t in truth.flatten().tolist() if not vocabulary().is_special(t)}
    assert bag.tokens == own
    [found] = BagOfTokens().run(model, [seen])
    assert found.data is not None
    assert torch.equal(found.data, truth)
    assert found.relative_objective < 1e-5


@every_kind
def test_the_order_does_not_rest_on_rounding(task: Task, causal: bool) -> None:
    """Errors of single precision, and of a last position that predicts nothing, change nothing."""
    data, model = victim(task, causal=causal, width=48)
    seen, truth = upload(data, model, [0])
    drawn = torch.Generator().manual_seed(0)
    for name, gradient in seen.gradient.items():
        error = torch.randn(gradient.shape, generator=drawn) * gradient.square().mean().sqrt()
        seen.gradient[name] = gradient + 1e-6 * error  # type: ignore[index]
    [found] = BagOfTokens().run(model, [seen])
    assert found.data is not None
    assert torch.equal(found.data, truth)
    assert 0 < found.relative_objective < 1e-4


def test_an_order_that_noise_spoils_leaves_its_rows_unexplained() -> None:
    data, model = victim(Task.CLASSIFY, width=48)
    seen, truth = upload(data, model, [0])
    drawn = torch.Generator().manual_seed(0)
    places = "backbone.embeddings.position_embeddings.weight"
    rows = seen.gradient[places]
    seen.gradient[places] = rows + torch.randn(rows.shape, generator=drawn) * rows.std()  # type: ignore[index]
    [found] = BagOfTokens().run(model, [seen])
    assert found.data is not None
    assert not torch.equal(found.data, truth)
    assert found.relative_objective > 0.1


@every_kind
@pytest.mark.parametrize("width", [32, 64, 96])
def test_the_bag_of_a_batch(task: Task, causal: bool, width: int) -> None:
    """In no order, but complete, however faint a word's row is beside the output layer's."""
    data, model = victim(task, causal=causal, width=width)
    batch = [0, 2, 6] if task is not Task.NEXT or width > 32 else [2, 6]  # no more tokens than that
    seen, truth = upload(data, model, batch)
    bag = bag_of_tokens(model, seen)
    assert bag is not None
    own = {t for t in truth.flatten().tolist() if not vocabulary().is_special(t)}
    assert bag.tokens == own
    [found] = BagOfTokens().run(model, [seen])
    assert found.data is not None
    assert found.data.shape == truth.shape
    assert {t for t in found.data.flatten().tolist() if not vocabulary().is_special(t)} <= own


def test_no_bag_where_the_embeddings_are_not_shared() -> None:
    data, model = victim(Task.MASKED, width=32)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("embeddings" not in name)
    seen, _ = upload(data, model, [0])
    assert bag_of_tokens(model, seen) is None
    [found] = BagOfTokens().run(model, [seen])
    assert "was not shared" in str(found.error)
    assert "use 'dager' or 'dlg'" in str(found.error)


def test_no_order_where_places_are_not_trained() -> None:
    """The words are there, and the first of them need not stand first."""
    data, model = victim(Task.CLASSIFY, width=64)
    places = model.get_parameter("backbone.embeddings.position_embeddings.weight")
    places.requires_grad_(False)
    seen, truth = upload(data, model, [0])
    [found] = BagOfTokens().run(model, [seen])
    assert found.data is not None
    assert not torch.equal(found.data, truth)
    assert set(found.data.flatten().tolist()) == set(truth.flatten().tolist())
    assert found.objective == 1.0


def test_dager_needs_no_gradient_of_the_embeddings() -> None:
    data, model = victim(Task.MASKED, width=64)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("embeddings" not in name)
    seen, truth = upload(data, model, [0])
    [found] = Dager().run(model, [seen])
    assert rows(found.data) == rows(truth)


@pytest.mark.parametrize("batch", [[0, 1], [0, 2, 6], [0, 1, 3, 4]], ids=len)
def test_dager_puts_a_decoders_texts_together(batch: list[int]) -> None:
    data, model = victim(Task.NEXT, width=96)
    seen, truth = upload(data, model, batch)
    [found] = Dager().run(model, [seen])
    assert rows(found.data) == rows(truth)
    assert found.objective < 1e-3


def test_dager_tells_an_encoders_two_texts_apart() -> None:
    data, model = victim(Task.CLASSIFY, width=96)
    seen, truth = upload(data, model, [6, 7])
    [found] = Dager().run(model, [seen])
    assert rows(found.data) == rows(truth)


def test_dager_by_one_layer_alone() -> None:
    data, model = victim(Task.CLASSIFY, width=64, layers=1)
    seen, truth = upload(data, model, [0])
    [found] = Dager().run(model, [seen])
    assert rows(found.data) == rows(truth)


@pytest.mark.parametrize("batch", [[0], [0, 1], [0, 1, 2, 3]], ids=len)
def test_what_stands_behind_masks(batch: list[int]) -> None:
    """From the texts with their masks, which an attack has found, and the head's gradient."""
    data, model = victim(Task.MASKED, width=48)
    for seed in range(3):
        inputs, labels = data.train.batch(torch.tensor(batch).numpy(), seed=seed)
        seen, truth = upload(data, model, batch, seed=seed)
        assert (inputs != truth).sum() == (labels != IGNORED).sum() >= len(batch)
        assert torch.equal(fill_masked(model, seen, inputs), truth)


def test_nothing_is_filled_in_without_masks() -> None:
    data, model = victim(Task.NEXT, width=32)
    seen, truth = upload(data, model, [0])
    assert fill_masked(model, seen, truth) is truth
    data, model = victim(Task.MASKED, width=32)
    seen, truth = upload(data, model, [0])
    assert fill_masked(model, seen, truth) is truth


@pytest.mark.parametrize(("task", "causal"), KINDS[1:], ids=str)
@pytest.mark.slow
def test_dlg_starts_from_what_the_embeddings_tell(task: Task, causal: bool) -> None:
    """So that little search is left, where they are shared."""
    data, model = victim(task, causal=causal, width=32)
    seen, truth = upload(data, model, [2])
    [found] = DLG(evaluations=60).run(model, [seen])
    assert found.data is not None
    assert torch.equal(found.data, truth)


def test_spoilt_gradients_give_wrong_texts_and_no_exception() -> None:
    data, model = victim(Task.CLASSIFY, width=32)
    seen, truth = upload(data, model, [0])
    generator = torch.Generator().manual_seed(0)
    for name, gradient in seen.gradient.items():
        seen.gradient[name] = gradient + torch.randn(gradient.shape, generator=generator)  # type: ignore[index]
    for attack in EXACT:
        [found] = attack.run(model, [seen])
        assert found.data is not None
        assert not torch.equal(found.data, truth)
