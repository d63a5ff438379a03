"""Deep Gradient Compression sends the largest values and forgets nothing."""

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from fedsim.clients.defenses import DeepGradientCompression, protect
from fedsim.core.vectors import share_of
from tests.clients.defenses.test_contract import equal


def run(defense: DeepGradientCompression, gradients: list[Tensor]) -> list[Tensor]:
    """Return what a client sends over its rounds."""
    sent: list[Tensor] = []
    states: tuple[Mapping[str, Tensor], ...] = ()
    for gradient in gradients:
        done = protect([defense], {"g": gradient}, torch.Generator(), states)
        sent.append(done.tensors["g"])
        states = done.states
    return sent


def gradients(count: int, size: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(count)]


def test_what_is_withheld_grows_with_momentum_until_it_is_sent() -> None:
    """By hand: two coordinates, of which one is sent each time, momentum one half."""
    defense = DeepGradientCompression(fraction=0.5, momentum=0.5)
    sent = run(defense, [torch.tensor([4.0, 2.0]), torch.tensor([1.0, 1.0]), torch.zeros(2)])
    # Second: velocity 0.5 * 2 + 1, waiting 2 + 2. The first's momentum went with what was sent.
    assert [x.tolist() for x in sent] == [[4.0, 0.0], [0.0, 4.0], [1.5, 0.0]]


@settings(deadline=None)
@given(st.floats(0, 0.999), st.integers(1, 40), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_nothing_is_lost(fraction: float, size: int, count: int, seed: int) -> None:
    """Without momentum all that was sent and what is withheld are the sum of the gradients."""
    defense = DeepGradientCompression(fraction=fraction, momentum=0.0)
    every = gradients(count, size, seed)
    states: tuple[Mapping[str, Tensor], ...] = ()
    total = torch.zeros(size, dtype=torch.float64)
    for gradient in every:
        done = protect([defense], {"g": gradient}, torch.Generator(), states)
        states, total = done.states, total + done.tensors["g"]
        assert int(done.tensors["g"].count_nonzero()) == max(1, size - share_of(fraction, size))
    torch.testing.assert_close(total + states[0]["waiting.g"], torch.stack(every).sum(0))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_all_sent_is_no_change(momentum: float) -> None:
    every = gradients(3, 10)
    sent = run(DeepGradientCompression(fraction=0.0, momentum=momentum), every)
    assert all(torch.equal(a, b) for a, b in zip(sent, every, strict=True))


def test_warm_up_sends_less_and_less() -> None:
    defense = DeepGradientCompression(fraction=0.99, warmup=4)
    sent = [int(x.count_nonzero()) for x in run(defense, gradients(6, 10_000))]
    assert sent[0] == 2500
    assert sent == sorted(sent, reverse=True)
    assert sent[4:] == [100, 100]


def test_something_of_every_tensor_is_sent() -> None:
    [sent] = run(DeepGradientCompression(fraction=0.997), gradients(1, 10))
    assert int(sent.count_nonzero()) == 1


def test_300_times_fewer_bytes() -> None:
    """99.7 % withheld: 4 bytes of value and 4 of place for each that is sent, 166 times fewer."""
    upload = {"g": torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))}
    done = protect([DeepGradientCompression(fraction=0.997)], upload, torch.Generator())
    assert done.num_bytes == 3000 * 8
    assert done.records[0].did["kept_fraction"] == pytest.approx(0.003)


def test_the_state_is_not_modified() -> None:
    defense = DeepGradientCompression(fraction=0.5)
    first, second = gradients(2, 8)
    states = protect([defense], {"g": first}, torch.Generator()).states
    before = {k: v.clone() for k, v in states[0].items()}
    protect([defense], {"g": second}, torch.Generator(), states)
    assert equal(dict(states[0]), before)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_bad_fractions(fraction: float) -> None:
    with pytest.raises(ValidationError):
        DeepGradientCompression(fraction=fraction)
