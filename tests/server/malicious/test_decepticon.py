"""A transformer that sorts tokens gives away texts with their order."""

from functools import cache

import pytest
import torch

from fedsim.attacks.text.tables import frame_of
from fedsim.attacks.text.token_bins import TokenBins, explained, grouped
from fedsim.clients.defenses import DeadUnits, Received, WeightStatistics
from fedsim.core.errors import RunError
from fedsim.core.registry import DATASETS
from fedsim.core.tasks import Task
from fedsim.data.tokens import TokenDataset
from fedsim.models import MLP, Bert, TextModel
from fedsim.server.malicious import Changed, Decepticon, Public
from tests.texts import upload, victim

BATCH = 4


@cache
def messages() -> tuple[TokenDataset, TextModel]:
    data, model = Bert().for_data(DATASETS.get("messages")().load(None), 0)
    return data, model


@cache
def sent(*, tuned: bool = False) -> Changed:
    data, _ = messages()
    _, model = Bert().for_data(DATASETS.get("messages")().load(None), 0)
    tokens, _ = data.test.batch(torch.arange(len(data.test)).numpy())
    generator = torch.Generator().manual_seed(0)
    return Decepticon(tuned=tuned).change(model, Public(tokens, BATCH), generator)


def share_right(number: int, *, tuned: bool = False) -> float:
    """Return the share of a batch's words that come out in their places.

    Ends and padding are known from the lengths and do not count. Texts have no order.
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    model, rows = sent(tuned=tuned).model, range(BATCH * number, BATCH * (number + 1))
    seen, truth = upload(messages()[0], model, rows)
    [found] = TokenBins().run(model, [seen])
    assert found.data is not None, found.error
    words = frame_of(model, seen) < 0
    pairs = torch.stack([((found.data == text) & words).sum(1) for text in truth])
    rows, columns = linear_sum_assignment(-pairs.numpy())
    return float(pairs[rows, columns].sum() / words.sum())


@pytest.mark.parametrize("number", [0, 13])
def test_nine_tenths_of_the_words_of_four_texts_come_out_in_their_places(number: int) -> None:
    assert share_right(number) >= 0.9


@pytest.mark.slow
def test_on_average_over_many_batches() -> None:
    found = [share_right(number) for number in range(14)]
    assert min(found) >= 0.85
    assert sum(found) / len(found) >= 0.93


@pytest.mark.slow
def test_bins_among_decoys_read_nearly_as_much() -> None:
    """A known limit: no check of weights notices this form, see below."""
    found = [share_right(number, tuned=True) for number in range(14)]
    assert sum(found) / len(found) >= 0.85


def test_the_honest_model_sorts_nothing() -> None:
    data, model = messages()
    seen, _ = upload(data, model, range(BATCH))
    [found] = TokenBins().run(model, [seen])
    assert "no layer of the model sorts tokens into bins" in str(found.error)


def test_shapes_stay_and_the_named_tensors_change() -> None:
    before, after = messages()[1].state_dict(), sent().model.state_dict()
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed <= set(sent().tensors)
    assert "backbone.encoder.layer.0.intermediate.dense.weight" in changed
    assert 0.5 < sent().expected < 1


def test_checks_of_clients_notice_it_and_neither_its_tuned_form_nor_the_honest_model() -> None:
    shapes = {k: tuple(v.shape) for k, v in messages()[1].state_dict().items()}
    checks = {"dead-units": DeadUnits(), "weight-statistics": WeightStatistics()}
    tuned = sent(tuned=True).model
    for model, expected in ((sent().model, set(checks)), (tuned, set()), (messages()[1], set())):
        received = Received(model.state_dict(), shapes)
        noticed = {k for k, c in checks.items() if c.examine(received).problem is not None}
        assert noticed == expected


def test_models_without_such_layers_are_refused() -> None:
    public = Public(torch.zeros(2, 4, dtype=torch.long), BATCH)
    for model in (MLP().build((1, 8, 8), 2, seed=0), victim(Task.NEXT)[1]):
        with pytest.raises(RunError, match="needs a BERT with two layers"):
            Decepticon().change(model, public, torch.Generator())


def test_two_tokens_of_one_bin_are_told_apart() -> None:
    states = torch.randn(9, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = torch.cat([2 * states[3] - 5 * states[7], torch.tensor([-3.0]).double()])
    assert explained(whole, states, [(0, c) for c in range(9)]) == (3, 7)
    assert explained(torch.ones(17).double(), states, [(0, c) for c in range(9)]) == ()


def test_stray_marks_belong_to_no_text() -> None:
    marks = torch.tensor([[0.0, 0], [5, 5], [0, 0.1], [5.1, 5], [40, 0]]).double()
    first, second, *others = grouped(marks, 2)
    assert {first, second} == {0, 1}
    assert others == [first, second, -1]
