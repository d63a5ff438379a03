"""Share of the tokens that DAGER finds under noise: it falls with the noise, and does not end."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedsim.attacks import Dager, Observation
from fedsim.data import Messages
from fedsim.models import Gpt2, cross_entropy

LEVELS = (1e-4, 1e-3, 1e-2)


def noisy(gradient: dict[str, torch.Tensor], std: float, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {k: g + std * torch.randn(g.shape, generator=generator) for k, g in gradient.items()}


@pytest.mark.slow
def test_tokens_found_by_the_level_of_noise() -> None:
    """Four public messages, a GPT-2 of width 64 with random weights, Gaussian noise."""
    data, model = Gpt2().for_data(Messages().load(None), seed=0)
    parameters = {k: p for k, p in model.named_parameters() if p.requires_grad}
    right = dict.fromkeys(LEVELS, 0)
    total = 0
    for seed, row in enumerate((0, 7, 14, 21)):
        inputs, labels = data.test.batch([row], seed=seed)  # type: ignore[arg-type]
        loss = cross_entropy(model(inputs), labels)
        values = torch.autograd.grad(loss, list(parameters.values()))
        gradient = dict(zip(parameters, values, strict=True))
        lengths = tuple(data.test.lengths([inputs]))
        seen = Observation(gradient, (inputs.shape[1],), 1, lengths=lengths)
        truth = data.test.originals(inputs, labels)
        own = truth < len(model.table)
        own[:, lengths[0] - 1 :] = False  # the end of a text is public
        total += int(own.sum())
        for std in LEVELS:
            [found] = Dager().run(model, [replace(seen, gradient=noisy(gradient, std, seed))])
            assert found.data is not None, found.error
            right[std] += int(((found.data == truth) & own).sum())
    shares = [right[std] / total for std in LEVELS]
    print(dict(zip(LEVELS, shares, strict=True)))  # noqa: T201
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1
    assert shares[1] > 0.7
    assert shares[2] < 0.4
