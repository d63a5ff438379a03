"""Search among tokens: its equations, its first-order estimates, and what it finds under noise."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor

from fedsim.attacks import Dager, GradientMatching, Observation, TextModel, TokenSearch
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.matching.trials import Trials
from fedsim.attacks.text.likelihood import TextLikelihood
from fedsim.attacks.text.moves import Moves
from fedsim.attacks.text.ngrams import Bigrams
from fedsim.attacks.text.token_space import TokenSpace
from fedsim.clients.defenses import DPSGD, Batch, Defense, GaussianNoise, LaplacianNoise, LocalDP
from fedsim.core.registry import DEFENSES
from fedsim.core.tasks import Task
from fedsim.data.tokens import TokenDataset
from tests.texts import OTHER_SHORT, SHORT, upload, victim

pytestmark = pytest.mark.numeric

KINDS = {
    "bert masked": (Task.MASKED, False),
    "bert classify": (Task.CLASSIFY, False),
    "gpt2 next": (Task.NEXT, True),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
STD = 1e-3


def case(kind: str, dtype: torch.dtype = torch.float32) -> tuple[TokenDataset, TextModel]:
    task, causal = KINDS[kind]
    data, model = victim(task, causal=causal, width=16)
    return data, model.to(dtype)


def batch_of(data: TokenDataset, indices: list[int]) -> tuple[Tensor, Tensor]:
    return data.train.batch(indices, seed=0)  # type: ignore[arg-type]


def defended(
    data: TokenDataset, model: TextModel, indices: list[int], defense: Defense
) -> Observation:
    """Return the observation of a batch behind a defense."""
    seen, _ = upload(data, model, indices)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    inputs, labels = batch_of(data, indices)
    computed = defense.compute_gradient(model, Batch(inputs, labels), generator)  # type: ignore[arg-type]
    gradient = seen.gradient if computed is None else computed.gradients
    shared = defense.protect_upload(gradient, generator).tensors
    return replace(seen, gradient=shared)


def attacker(defense: Defense, batch_size: int = 1) -> GradientMatching:
    """Return the adaptive form of DAGER."""
    form = Dager().against_defenses()
    assert isinstance(form, TokenSearch)
    described = [{"name": DEFENSES.name_of(defense), **asdict(defense)}]  # type: ignore[call-overload]
    return adapt(form, countermeasures_of(described), Known(batch_size=batch_size))


@every_kind
def test_the_private_texts_have_the_gradient_of_the_upload(kind: str) -> None:
    """With the looked-up rows of the token embedding, and as weights over the vocabulary."""
    data, model = case(kind, torch.float64)
    seen, _ = upload(data, model, [SHORT, OTHER_SHORT])
    inputs, labels = batch_of(data, [SHORT, OTHER_SHORT])
    fit = TokenSearch().truth_fit(model, seen, inputs, labels)  # type: ignore[arg-type]
    assert fit.relative_objective < 1e-20
    assert fit.explained
    other = inputs.clone()
    other[0, 1] = other[0, 1] + 1
    assert TokenSearch().relative_objective_of(model, seen, other, labels) > 1e-6  # type: ignore[arg-type]


@every_kind
def test_slopes_are_differences_to_first_order(kind: str) -> None:
    data, model = case(kind, torch.float64)
    seen, _ = upload(data, model, [SHORT])
    problem = Problem(TokenSearch(), model, {0: seen}, joint=False)  # type: ignore[arg-type]
    trials = Trials(problem, {0: None}, seed=0)
    against, space = trials.against(0), problem.space
    point = trials.start(0)
    generator = torch.Generator().manual_seed(0)
    step = 1e-6 * torch.randn(len(point), generator=generator, dtype=torch.float64)
    parts = space.parts(step)
    step = space.point(parts._replace(tokens=parts.tokens * space.free[..., None]))
    slopes = torch.func.grad(problem.distance)(point, against)
    ahead, behind = problem.distance(point + step, against), problem.distance(point - step, against)
    assert float((ahead - behind) / 2) == pytest.approx(float(slopes @ step), rel=1e-5)


def test_the_likelihood_of_texts_is_that_of_pairs() -> None:
    texts = [[3, 1, 2, 4], [3, 2, 1, 1, 4], [3, 5, 4]]
    pairs, rows = Bigrams.of(texts), [[3, 1, 1, 4], [3, 0, 4, 0]]
    lengths = [4, 3]
    weights = torch.zeros((2, 4, 7), dtype=torch.float64)
    for n, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        for t, token in enumerate(row[:length]):
            weights[n, t, token] = weights[n, t, 6] = 1
    kept = [row[:length] for row, length in zip(rows, lengths, strict=True)]
    expected = sum(pairs.surprise([row]) * (len(row) - 1) for row in kept)
    expected -= 2 * torch.tensor(pairs.alone(3), dtype=torch.float64).log().item()
    assert float(TextLikelihood(pairs, 6)(weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defense", "batch"),
    [
        (GaussianNoise(std=STD), [SHORT]),
        (LaplacianNoise(scale=STD), [SHORT]),
        (LocalDP(norm=0.5, noise_multiplier=STD), [SHORT]),
        (DPSGD(norm=0.5, noise_multiplier=STD), [SHORT]),
        (DPSGD(norm=0.5, noise_multiplier=STD), [SHORT, OTHER_SHORT]),
    ],
)
@every_kind
def test_the_equations_of_noise_explain_the_private_texts(
    kind: str, defense: Defense, batch: list[int]
) -> None:
    """They explain the private texts' upload, and with another level of noise they do not."""
    data, model = case(kind)
    seen = defended(data, model, batch, defense)
    attack = attacker(defense, len(batch))
    assert isinstance(attack, TokenSearch)
    assert not attack.approximate
    inputs, labels = batch_of(data, batch)
    assert attack.truth_fit(model, seen, inputs, labels).explained  # type: ignore[arg-type]
    assert not TokenSearch().truth_fit(model, seen, inputs, labels).explained  # type: ignore[arg-type]


def test_it_reads_what_ends_the_exact_test() -> None:
    data, model = case("gpt2 next")
    defense = GaussianNoise(std=3e-2)
    seen = defended(data, model, [SHORT], defense)
    _, truth = upload(data, model, [SHORT])
    [exact], [found] = Dager().run(model, [seen]), attacker(defense).run(model, [seen])  # type: ignore[arg-type]
    assert exact.data is not None
    assert found.data is not None
    assert not torch.equal(exact.data, truth)
    assert torch.equal(found.data, truth)


def test_an_exchange_and_a_mask_are_neighbours() -> None:
    data, model = case("bert masked")
    seen, truth = upload(data, model, [SHORT])
    problem = Problem(TokenSearch(), model, {0: seen}, joint=False)  # type: ignore[arg-type]
    space = problem.space
    assert isinstance(space, TokenSpace)
    start = space.parts(space.start("grey", torch.Generator()))
    moves = Moves(space, candidates=2)
    guess = moves.first(start, start)
    assert guess.masked.sum(1).tolist() == space.masks.tolist()
    tokens = torch.where(space.free, truth, -1)
    around = moves.around(replace(guess, tokens=tokens), start)
    exchanged = tokens.clone()
    exchanged[0, 1], exchanged[0, 2] = tokens[0, 2], tokens[0, 1]
    assert any(torch.equal(other.tokens, exchanged) for other in around)
    assert any(not torch.equal(other.masked, guess.masked) for other in around)
    assert all(other.masked.sum(1).tolist() == space.masks.tolist() for other in around)
