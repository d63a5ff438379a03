"""What every attack on texts keeps to, on all kinds of language models."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedsim.attacks import Attack, Observation, Reconstruction, Status
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.core.registry import ATTACKS
from fedsim.core.tasks import Task
from fedsim.models import TextModel
from tests.attacks.kinds import CRAFTED, ON_PICTURES, ON_TEXTS
from tests.texts import OTHER_SHORT, SHORT, upload, victim
from tests.victims import random_victims

pytestmark = pytest.mark.numeric

BUDGET = 6
WIDTH = 16
KINDS = {
    "bert masked": (Task.MASKED, False),
    "bert classify": (Task.CLASSIFY, False),
    "gpt2 next": (Task.NEXT, True),
    "gpt2 classify": (Task.CLASSIFY, True),
}
TABLE = "backbone.embeddings.word_embeddings.weight"

every_attack = pytest.mark.parametrize("name", ON_TEXTS)
every_attack_on_honest_models = pytest.mark.parametrize(
    "name", [name for name in ON_TEXTS if name not in CRAFTED]
)
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(name: str, **parameters: object) -> Attack:
    """Return an attack with little to do."""
    little = {"evaluations": BUDGET} if issubclass(ATTACKS.get(name), GradientMatching) else {}
    turns = {"turns": 1} if name == "lamp" else {}
    attack: Attack = ATTACKS.get(name)(**little, **turns, **parameters)
    return attack


def case(
    kind: str, *batches: list[int], dtype: torch.dtype = torch.float32
) -> tuple[TextModel, list[Observation], list[Tensor]]:
    task, causal = KINDS[kind]
    data, model = victim(task, causal=causal, width=WIDTH)
    model.to(dtype)
    pairs = [upload(data, model, batch, seed=n) for n, batch in enumerate(batches)]
    return model, [seen for seen, _ in pairs], [truth for _, truth in pairs]


def same(one: Reconstruction, other: Reconstruction) -> bool:
    assert one.data is not None, one.error
    assert other.data is not None, other.error
    return torch.equal(one.data, other.data) and one.objective == other.objective


@every_attack
@every_kind
@pytest.mark.parametrize("batch", [[SHORT], [SHORT, OTHER_SHORT]], ids=["one text", "two texts"])
@pytest.mark.slow
def test_reconstructions(name: str, kind: str, batch: list[int]) -> None:
    """Tokens of the right shape between the special ones, or a reason that says what to do."""
    model, [seen], [truth] = case(kind, batch)
    [found] = make(name).run(model, [seen])
    if found.data is None:
        assert found.status is Status.FAILED
        assert "use" in str(found.error)
        return
    specials = model.vocabulary.specials
    assert found.error is None
    assert found.data.shape == truth.shape
    assert found.data.dtype == torch.int64
    assert found.data.device.type == "cpu"
    lengths = sorted((found.data != specials.pad).sum(1).tolist())
    assert tuple(lengths) == seen.lengths
    for row, length in zip(found.data.tolist(), lengths, strict=True):
        assert row[length - 1] == specials.last
        assert model.causal or row[0] == specials.first
        body = row[0 if model.causal else 1 : length - 1]
        assert all(0 <= token < len(model.table) for token in body)
    assert 0 <= found.objective < float("inf")
    assert found.history[-1].objective == found.objective
    assert found.history[-1].data.shape == found.data.shape
    evaluations = [snapshot.evaluation for snapshot in found.history]
    assert evaluations == sorted(set(evaluations))


@pytest.mark.slow
@every_attack_on_honest_models
def test_every_attack_takes_some_model(name: str) -> None:
    found = []
    for kind in KINDS:
        model, seen, _ = case(kind, [SHORT])
        found += make(name).run(model, seen)
    assert any(r.data is not None for r in found)


@every_attack
@every_kind
@pytest.mark.slow
def test_seeds(name: str, kind: str) -> None:
    model, seen, _ = case(kind, [SHORT], [OTHER_SHORT, SHORT])
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = make(name).run(model, seen, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    again = make(name).run(model, seen, seed=3)
    for one, two in zip(first, again, strict=True):
        assert one.error == two.error
        assert one.error is not None or same(one, two)


@every_attack
@every_kind
@pytest.mark.slow
def test_result_does_not_depend_on_other_victims(name: str, kind: str) -> None:
    """What is read of a victim's text is told by its own upload, not by its neighbour's.

    In double precision, where rounding does not choose between two tokens.
    """
    model, [one, other], _ = case(kind, [SHORT], [OTHER_SHORT], dtype=torch.float64)
    assert one.input_shape == other.input_shape
    _, together = make(name).run(model, [one, other])
    _, alone = make(name).run(model, [replace(one, gradient={}), other])
    assert together.error == alone.error
    if together.data is not None and alone.data is not None:
        assert torch.equal(together.data, alone.data)
        for mine, own in zip(together.history, alone.history, strict=True):
            assert torch.equal(mine.data, own.data)


@pytest.mark.slow
@every_attack
@every_kind
def test_nothing_is_touched(name: str, kind: str) -> None:
    model, observations, _ = case(kind, [SHORT])
    model.train()  # as clients compute their gradients
    before = copy.deepcopy(model.state_dict())
    trained = [p.requires_grad for p in model.parameters()]
    shared = copy.deepcopy(observations)
    make(name).run(model, observations)
    assert all(torch.equal(x, before[k]) for k, x in model.state_dict().items())
    assert [m.training for m in model.modules()] == [True] * len(list(model.modules()))
    assert [p.requires_grad for p in model.parameters()] == trained
    assert all(p.grad is None for p in model.parameters())
    for one, other in zip(shared, observations, strict=True):
        assert all(torch.equal(g, other.gradient[k]) for k, g in one.gradient.items())
        assert one.lengths == other.lengths


def without(name: str) -> Callable[[Observation], Observation]:
    return lambda o: replace(o, gradient={k: g for k, g in o.gradient.items() if k != name})


def having(name: str, tensor: Tensor) -> Callable[[Observation], Observation]:
    return lambda o: replace(o, gradient={**o.gradient, name: tensor})


SPOILT = {
    "missing": (without(TABLE), f"the gradient of {TABLE!r} is missing"),
    "empty": (lambda o: replace(o, gradient={}), "is missing"),
    "shape": (having("classifier.bias", torch.zeros(3)), "has shape (3,), expected (2,)"),
    "NaN": (having("classifier.bias", torch.tensor([0.0, torch.nan])), "holds NaN or infinite"),
    "infinity": (having("classifier.bias", torch.tensor([0.0, torch.inf])), "holds NaN or infin"),
    "no text": (lambda o: replace(o, batch_size=0), "batch size 0: expected at least 1"),
}


@every_attack_on_honest_models
@pytest.mark.parametrize(("spoil", "reason"), SPOILT.values(), ids=SPOILT)
@pytest.mark.slow
def test_a_bad_observation_fails_alone(
    name: str, spoil: Callable[[Observation], Observation], reason: str
) -> None:
    """On a task that every attack takes; the others are attacked as if it were not there."""
    texts = ([SHORT], [SHORT], [OTHER_SHORT])
    model, good, _ = case("bert classify", *texts, dtype=torch.float64)
    first, bad, last = make(name).run(model, [good[0], spoil(good[1]), good[2]])
    assert bad.status is Status.FAILED
    assert bad.data is bad.labels is None
    assert reason in str(bad.error)
    for found, expected in zip((first, last), make(name).run(model, good)[::2], strict=True):
        assert found.error is None
        assert found.data is not None
        assert expected.data is not None
        assert torch.equal(found.data, expected.data)


@every_attack_on_honest_models
def test_stopped_before_it_began(name: str) -> None:
    model, observations, _ = case("bert classify", [SHORT], [OTHER_SHORT])
    found = make(name).run(model, observations, should_stop=lambda: True)
    assert [r.status for r in found] == [Status.FAILED] * 2
    assert all("stopped before" in str(r.error) for r in found)


@every_attack_on_honest_models
def test_stopped_on_the_way(name: str) -> None:
    """What was found by then is returned, or it is said that nothing was."""
    model, observations, truths = case("bert classify", [SHORT], [OTHER_SHORT])
    asked = iter([False] * 2)
    found = make(name).run(model, observations, should_stop=lambda: next(asked, True))
    for result, truth in zip(found, truths, strict=True):
        if result.data is None:
            assert "stopped before" in str(result.error)
        else:
            assert result.data.shape == truth.shape
    assert any(result.data is not None for result in found)


@every_attack_on_honest_models
def test_progress(name: str) -> None:
    model, observations, truths = case("bert classify", [SHORT], [OTHER_SHORT])
    seen: dict[int, list[tuple[int, ...]]] = {}

    def note(victims: Tensor, data: Tensor) -> None:
        for number, victim_data in zip(victims.tolist(), data, strict=True):
            seen.setdefault(number, []).append(tuple(victim_data.shape))

    make(name).run(model, observations, on_progress=lambda p: note(p.victims, p.data()))
    assert {n: set(shapes) for n, shapes in seen.items()} == {
        n: {tuple(truth.shape)} for n, truth in enumerate(truths)
    }


@every_attack
def test_several_local_steps(name: str) -> None:
    """Something of the right shape, or a reason that says what to use."""
    model, [seen], [truth] = case("bert classify", [SHORT])
    update = replace(seen, training=LocalTraining(0.1, 2, 1))
    [found] = make(name).run(model, [update])
    if found.data is None:
        assert "use" in str(found.error)
    else:
        assert found.data.shape == truth.shape


@pytest.mark.slow
@every_attack
@pytest.mark.parametrize("damage", ["noise", "pruned", "sign", "zero"])
@pytest.mark.parametrize("kind", ["bert classify", "gpt2 next"])
def test_defended_uploads(name: str, damage: str, kind: str) -> None:
    model, [seen], [truth] = case(kind, [OTHER_SHORT, SHORT])
    generator = torch.Generator().manual_seed(0)

    def spoil(g: Tensor) -> Tensor:
        if damage == "noise":
            return g + 0.1 * torch.randn(g.shape, generator=generator)
        if damage == "pruned":
            return torch.where(g.abs() > g.abs().median(), g, 0.0)
        return g.sign() if damage == "sign" else torch.zeros_like(g)

    bad = replace(seen, gradient={k: spoil(g) for k, g in seen.gradient.items()})
    [found] = make(name).run(model, [bad])
    if found.data is None:
        assert found.error
    else:
        assert found.data.shape == truth.shape


@pytest.mark.parametrize("name", sorted(set(ON_PICTURES) - set(ON_TEXTS)))
def test_attacks_on_pictures_decline_texts(name: str) -> None:
    model, [seen], _ = case("bert classify", [SHORT])
    [found] = make(name).run(model, [seen])
    assert found.status is Status.FAILED
    assert "reconstructs pictures, but the model takes texts: choose an attack on texts" in str(
        found.error
    )


@pytest.mark.parametrize("name", sorted(set(ON_TEXTS) - set(ON_PICTURES)))
def test_attacks_on_texts_decline_pictures(name: str) -> None:
    victims = random_victims((1, 8, 8), count=2)
    found = make(name).run(victims.model, victims.observations())
    assert [r.status for r in found] == [Status.FAILED] * 2
    assert "reconstructs texts, but the model takes pictures: choose an attack on pictures" in str(
        found[0].error
    )


@every_attack
def test_no_observation(name: str) -> None:
    assert make(name).run(case("bert classify", [SHORT])[0], []) == []
