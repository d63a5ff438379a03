"""Tokens that the search among tokens finds under noise, beside DAGER, on the same private texts.

Kalikman et al., TIGER, 2026 (arXiv 2606.18312) report the first reconstructions of texts under
differential privacy, by the distance of embeddings from the subspace of attention gradients. The
search here compares the whole gradient, so that its figures are not theirs.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedsim.attacks import Attack, Dager, Observation, TextModel, TokenSearch
from fedsim.attacks.adaptive import ExpectGaussianNoise, Known, adapt
from fedsim.clients.defenses import GaussianNoise
from fedsim.clients.training import differentiate
from fedsim.data import Messages
from fedsim.models import Gpt2

pytestmark = pytest.mark.paper

PRIVATE = tuple(range(0, 224, 28))
"""Eight private messages, two of each topic."""

LEVELS = (1e-4, 1e-3, 1e-2, 1e-1)


def correct(attack: Attack, model: TextModel, seen: Observation, truth: Tensor, own: Tensor) -> int:
    [found] = attack.run(model, [seen])  # type: ignore[arg-type]
    return 0 if found.data is None else int(((found.data == truth) & own).sum())


def test_tokens_found_under_noise() -> None:
    data, model = Gpt2().for_data(Messages().load(None), seed=0)
    form = Dager().with_public_texts(data.test.rows()).against_defenses()
    assert isinstance(form, TokenSearch)
    right = {std: [0, 0] for std in LEVELS}
    total = 0
    for row in PRIVATE:
        inputs, labels = data.train.batch([row], seed=row)  # type: ignore[arg-type]
        gradient = differentiate(model, (inputs, labels)).gradients
        lengths = tuple(data.train.lengths([inputs]))
        seen = Observation(gradient, (inputs.shape[1],), 1, lengths=lengths)
        truth = data.train.originals(inputs, labels)
        own = torch.ones_like(truth, dtype=torch.bool)
        own[:, -1] = False  # the end of a text is public
        total += int(own.sum())
        for std, counts in right.items():
            noise = GaussianNoise(std=std)
            sent = noise.protect_upload(gradient, torch.Generator().manual_seed(row)).tensors
            noisy = replace(seen, gradient=sent)
            search = adapt(form, [ExpectGaussianNoise(std=std)], Known())
            for n, attack in enumerate((Dager(), search)):
                counts[n] += correct(attack, model, noisy, truth, own)
        print(row, total, right, flush=True)  # noqa: T201
    shares = {std: [count / total for count in counts] for std, counts in right.items()}
    print(shares)  # noqa: T201
    assert all(search >= dager for dager, search in shares.values())
    assert shares[1e-2][1] == 1
    assert shares[1e-1][1] > 0.9
