"""Best of all: computed where that suffices, searched where it does not."""

import dataclasses

import pytest
import torch

from fedsim.attacks import DLG, RGAP, BestOf, Status
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.clients.defenses import Clipping, Defense, Fp16, Pruning
from fedsim.core.registry import DEFENSES
from fedsim.models import MLP, ConvNet
from tests.victims import fashion_victims, photograph_victims, random_victims


def test_computed_without_any_search() -> None:
    victims = photograph_victims(3)
    found = BestOf().run(victims.model, victims.observations())
    assert [r.status for r in found] == [Status.COMPUTED] * 3
    assert [r.evaluations for r in found] == [1] * 3
    assert victims.psnr(found).min() > 50


@pytest.mark.parametrize(
    ("defense", "batch_size"),
    [(Pruning(fraction=0.6), 1), (Clipping(norm=1.0), 1), (Clipping(norm=1.0), 2)],
)
def test_computed_behind_a_defense_that_is_known(defense: Defense, batch_size: int) -> None:
    """Pruned or clipped, which leaves as many equations as the network needs."""
    victims = fashion_victims(2, batch_size=batch_size)
    described = {"name": DEFENSES.name_of(defense), **dataclasses.asdict(defense)}
    attack = adapt(BestOf(evaluations=5), countermeasures_of([described]), Known())
    found = attack.run(victims.model, victims.observations(defense))
    assert [r.status for r in found] == [Status.COMPUTED] * 2
    assert victims.psnr(found).min() > 60
    assert max(r.relative_objective for r in found) <= attack.tolerance


def test_small_batches_are_computed() -> None:
    victims = fashion_victims(2, batch_size=2)
    found = BestOf(evaluations=5).run(victims.model, victims.observations())
    assert [r.status for r in found] == [Status.COMPUTED] * 2
    assert victims.psnr(found).min() > 60


def test_it_can_be_stopped_before_it_computes() -> None:
    victims = fashion_victims(1)
    [found] = BestOf().run(victims.model, victims.observations(), should_stop=lambda: True)
    assert found.error == "stopped before the first evaluation"


@pytest.mark.parametrize("batch_size", [1, 3])
def test_dense_layers(batch_size: int) -> None:
    spec = MLP(hidden=(120,), activation="relu")
    victims = random_victims((1, 6, 6), count=2, batch_size=batch_size, spec=spec)
    found = BestOf(evaluations=5).run(victims.model, victims.observations())
    assert victims.psnr(found).min() > 60
    assert [r.status for r in found] == [Status.COMPUTED] * 2


@pytest.mark.slow
def test_searched_where_nothing_can_be_computed() -> None:
    """A network with pooling and GELU, and a batch of two."""
    spec = ConvNet(channels=(8,))
    victims = random_victims((1, 6, 6), count=1, spec=spec)
    [found] = BestOf(evaluations=60).run(victims.model, victims.observations())
    assert found.evaluations > 1
    assert found.status is not Status.COMPUTED
    pairs = fashion_victims(2, batch_size=2, shrink=2)
    found = BestOf(evaluations=800).run(pairs.model, pairs.observations())
    assert pairs.psnr(found).min() > 30


def test_the_search_goes_on_from_what_was_computed() -> None:
    """Half precision: R-GAP is near, the search gets nearer in fewer evaluations than from grey."""
    victims = fashion_victims(3, shrink=2)
    rounded = victims.observations(Fp16())
    computed = victims.psnr(RGAP().run(victims.model, rounded))
    attack = BestOf(evaluations=40, trials=1)
    from_there = victims.psnr(attack.run(victims.model, rounded))
    from_grey = victims.psnr(DLG(evaluations=40).run(victims.model, rounded))
    assert from_there.median() > computed.median()
    assert from_there.median() > from_grey.median()


@pytest.mark.slow
def test_a_bad_guess_does_no_harm() -> None:
    """Pruned uploads: what the closed form makes of them is no better a start than grey."""
    victims = fashion_victims(2, shrink=2)
    pruned = victims.observations(Pruning(fraction=0.3))
    best = BestOf(evaluations=150).run(victims.model, pruned)
    alone = DLG(evaluations=150).run(victims.model, pruned)
    for one, other in zip(best, alone, strict=True):
        assert one.objective <= 1.5 * other.objective


def test_labels_that_cannot_be_read_are_optimised() -> None:
    victims = random_victims((1, 6, 6), count=1)
    model = victims.model
    head = [n for n, _ in model.named_parameters() if n.endswith("bias")][-1]
    model.get_submodule(head.rsplit(".", 1)[0]).bias = None
    victims = type(victims)(model, victims.images, victims.labels)
    [found] = BestOf(evaluations=20).run(model, victims.observations())
    assert found.data is not None
    assert found.labels is not None
    assert torch.equal(found.labels, victims.labels[0])
