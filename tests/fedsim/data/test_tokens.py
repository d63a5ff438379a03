"""Texts as tokens: what is masked, what is predicted, what fills up."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedsim.core.errors import DataError
from fedsim.core.tasks import IGNORED, MASKED_SHARE, Specials, Task
from fedsim.data import Split
from fedsim.data.tokens import TextDataset, Texts, TokenDataset, TokenSplit

PAD, FIRST, LAST, MASK = 0, 1, 2, 3
BERT = Specials(PAD, FIRST, LAST, MASK)
GPT = Specials(99, None, LAST, None)

rows = st.lists(st.lists(st.integers(10, 90), min_size=1, max_size=30), min_size=1, max_size=5)


def split(texts: list[list[int]], task: Task, specials: Specials = BERT) -> TokenSplit:
    """Return texts between their special tokens."""
    begin = [] if specials.first is None else [specials.first]
    ended = [torch.tensor([*begin, *text, specials.last]) for text in texts]
    tokens = torch.nn.utils.rnn.pad_sequence(
        ended, batch_first=True, padding_value=float(specials.pad)
    )
    return TokenSplit(tokens, torch.arange(len(texts)) % 2, task, specials)


def everything(part: TokenSplit, seed: int = 0) -> tuple[Tensor, Tensor]:
    return part.batch(np.arange(len(part)), seed=seed)


@given(rows, st.integers(0, 2**31))
@settings(deadline=None)
def test_what_is_masked(texts: list[list[int]], seed: int) -> None:
    """15 % of each text's own tokens, at least one; special ones never."""
    part = split(texts, Task.MASKED)
    inputs, labels = everything(part, seed)
    masked = inputs == MASK
    assert torch.equal(masked, labels != IGNORED)
    assert torch.equal(labels[masked], part.tokens[masked])
    assert torch.equal(inputs[~masked], part.tokens[~masked])
    assert not torch.isin(labels, torch.tensor([PAD, FIRST, LAST, MASK])).any()
    for text, row in zip(texts, masked, strict=True):
        assert int(row.sum()) == max(1, round(MASKED_SHARE * len(text)))
    assert torch.equal(part.originals(inputs, labels), part.tokens)


def test_masking_is_a_pure_function_of_the_seed() -> None:
    part = split([list(range(10, 40))] * 3, Task.MASKED)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    before = part.tokens.clone()
    one, again, other = (everything(part, seed) for seed in (1, 1, 2))
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(part.tokens, before)


def test_every_place_is_masked_at_some_time() -> None:
    part = split([list(range(10, 20))], Task.MASKED)
    masked = [everything(part, seed)[0][0] == MASK for seed in range(100)]
    often = torch.stack(masked).sum(0).tolist()
    assert often[0] == often[11] == 0
    assert min(often[1:11]) > 5  # of 20 on average


@pytest.mark.parametrize(("length", "count"), [(1, 1), (3, 1), (10, 2), (13, 2), (20, 3)])
def test_how_many_are_masked(length: int, count: int) -> None:
    inputs, _ = everything(split([list(range(10, 10 + length))], Task.MASKED))
    assert int((inputs == MASK).sum()) == count


def test_no_mask_token() -> None:
    with pytest.raises(DataError, match="no mask token: use another task"):
        everything(split([[10, 11]], Task.MASKED, GPT))


@given(rows)
@settings(deadline=None)
def test_each_token_is_predicted_from_those_before_it(texts: list[list[int]]) -> None:
    inputs, labels = everything(split(texts, Task.NEXT, GPT))
    for text, row, targets in zip(texts, inputs, labels, strict=True):
        whole = [*text, LAST]
        assert row.tolist()[: len(whole)] == whole
        assert targets.tolist()[: len(text)] == whole[1:]
        assert set(targets.tolist()[len(text) :]) == {IGNORED}


def test_kinds() -> None:
    part = split([[10], [11, 12], [13]], Task.CLASSIFY)
    inputs, labels = part.batch(np.array([2, 1]))
    assert labels.tolist() == [0, 1]
    assert inputs.tolist() == [[FIRST, 13, LAST, PAD], [FIRST, 11, 12, LAST]]
    assert torch.equal(part.originals(inputs, labels), inputs)


def test_a_batch_is_as_long_as_its_longest_text() -> None:
    part = split([[10], [11] * 20, [12, 13]], Task.CLASSIFY)
    assert part.batch(np.array([0]))[0].shape == (1, 3)
    assert part.batch(np.array([0, 2]))[0].shape == (2, 4)
    assert part.batch(np.array([0, 1]))[0].shape == (2, 22)


def test_rows_and_lengths() -> None:
    part = split([[10, 11, 12], [13]], Task.CLASSIFY)
    assert part.rows() == [[FIRST, 10, 11, 12, LAST], [FIRST, 13, LAST]]
    assert part.lengths([part.tokens, part.tokens[1:]]) == [3, 3, 5]


@pytest.mark.parametrize("task", [Task.MASKED, Task.NEXT])
def test_joined_batches_are_filled_up(task: Task) -> None:
    """With padding that is not to be predicted."""
    specials = BERT if task is Task.MASKED else GPT
    part = split([[10, 11, 12, 13], [14]], task, specials)
    one, other = part.batch(np.array([0])), part.batch(np.array([1]))
    inputs, labels = part.join([one, other])
    assert inputs.shape == labels.shape == (2, one[0].shape[1])
    short = other[0].shape[1]
    assert torch.equal(inputs[1, :short], other[0][0])
    assert torch.equal(labels[1, :short], other[1][0])
    assert set(inputs[1, short:].tolist()) == {specials.pad}
    assert set(labels[1, short:].tolist()) == {IGNORED}
    assert torch.equal(inputs[:1], one[0])


def test_joined_batches_of_kinds() -> None:
    part = split([[10, 11, 12], [13]], Task.CLASSIFY)
    inputs, labels = part.join([part.batch(np.array([0])), part.batch(np.array([1]))])
    assert inputs.shape == (2, 5)
    assert labels.tolist() == [0, 1]


def test_joined_pictures_stay_as_they_are() -> None:
    pictures, labels = torch.rand(2, 1, 4, 4), torch.tensor([1, 0])
    part = Split(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), labels)
    joined = part.join([(pictures, labels), (pictures, labels)])
    assert torch.equal(joined[0], torch.cat([pictures, pictures]))
    assert torch.equal(joined[1], torch.cat([labels, labels]))


@pytest.mark.parametrize(
    ("train", "test", "part"), [((), ("a",), "training"), (("a",), (), "test")]
)
def test_no_texts(train: tuple[str, ...], test: tuple[str, ...], part: str) -> None:
    with pytest.raises(DataError, match=f"'mine' has no {part} texts: give it more"):
        TextDataset("mine", Texts(train, (0,) * len(train)), Texts(test, (0,) * len(test)), ("a",))


def test_number_of_kinds() -> None:
    part = split([[10]], Task.CLASSIFY)
    assert TokenDataset("x", part, part, ("a", "b", "c")).num_classes == 3
