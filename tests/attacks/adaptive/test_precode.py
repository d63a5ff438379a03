"""The bottleneck of PRECODE: its draws are unknowns, as the pictures are."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import IDLG, BestOf, GradientMatching, Observation
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.attacks.local_training import LocalTraining
from fedsim.attacks.matching.client import Client
from fedsim.clients.defenses import DPSGD, Defense, GaussianNoise
from fedsim.models import Precode, draw_from
from tests.rounding import assert_same
from tests.victims import Victims, fashion_victims

Base = Literal["lenet", "mlp"]


def clients(
    base: Base, batch_size: int, *defenses: Defense, shrink: int = 2
) -> tuple[Victims, list[Observation]]:
    """Return two victims with the attacker's model, and the uploads of clients that draw."""
    clothes = fashion_victims(2, batch_size=batch_size, shrink=shrink)
    spec = Precode(base=base, bottleneck=16)
    theirs, ours = (spec.build((1, 28 // shrink, 28 // shrink), 10, seed=0) for _ in range(2))
    draw_from(theirs, torch.Generator().manual_seed(1))
    seen = Victims(theirs, clothes.images, clothes.labels).observations(*defenses)
    return Victims(ours, clothes.images, clothes.labels), seen


def adaptive(naive: GradientMatching, *others: dict[str, object]) -> GradientMatching:
    return adapt(naive, countermeasures_of([{"name": "precode"}, *others]), Known())


def explained(attack: GradientMatching, victims: Victims, seen: list[Observation]) -> list[bool]:
    triples = zip(seen, victims.images, victims.labels, strict=True)
    return [attack.truth_fit(victims.model, s, x, y).explained for s, x, y in triples]


@pytest.mark.slow
def test_pictures_behind_dense_layers_are_found_with_their_draws() -> None:
    victims, seen = clients("mlp", 1)
    naive = IDLG(evaluations=80)
    assert victims.psnr(naive.run(victims.model, seen)).max() < 10
    assert victims.psnr(adaptive(naive).run(victims.model, seen)).min() > 40


def test_a_closed_form_is_the_start_whatever_the_draws() -> None:
    victims, seen = clients("mlp", 1)
    found = adaptive(BestOf(evaluations=60)).run(victims.model, seen)
    assert victims.psnr(found).min() > 50
    assert max(f.relative_objective for f in found) < 1e-7


@pytest.mark.slow
def test_pictures_behind_convolutions_are_found_with_their_draws() -> None:
    victims, seen = clients("lenet", 2)
    naive = IDLG(evaluations=400)
    assert victims.psnr(naive.run(victims.model, seen)).max() < 10
    assert victims.psnr(adaptive(naive).run(victims.model, seen)).min() > 18


@pytest.mark.numeric
@pytest.mark.parametrize("base", ["lenet", "mlp"])
def test_the_private_batch_explains_the_upload_with_draws(base: Base) -> None:
    victims, seen = clients(base, 1, shrink=4)
    assert explained(adaptive(IDLG()), victims, seen) == [True, True]
    assert explained(IDLG(), victims, seen) == [False, False]


@pytest.mark.slow
@pytest.mark.numeric
def test_draws_do_not_explain_other_data_or_other_equations() -> None:
    victims, seen = clients("lenet", 1, shrink=4)
    others = Victims(victims.model, victims.images + 0.01, victims.labels)
    assert explained(adaptive(IDLG()), others, seen) == [False, False]
    with torch.no_grad():
        next(iter(victims.model.parameters())).mul_(1.01)
    assert explained(adaptive(IDLG()), victims, seen) == [False, False]


@pytest.mark.slow
@pytest.mark.numeric
def test_other_defenses_are_answered_beside_the_draws() -> None:
    victims, seen = clients("lenet", 1, DPSGD(norm=0.05, noise_multiplier=0.0), shrink=4)
    clipped = {"name": "dp-sgd", "norm": 0.05, "noise_multiplier": 0.0}
    assert explained(adaptive(IDLG(), clipped), victims, seen) == [True, True]
    assert explained(adaptive(IDLG()), victims, seen) == [False, False]


@pytest.mark.slow
@pytest.mark.numeric
def test_noise_is_explained_beside_the_draws_and_only_at_its_size() -> None:
    victims, seen = clients("lenet", 1, GaussianNoise(std=0.01), shrink=4)
    for std, right in ((0.01, True), (0.013, False), (0.007, False)):
        noise = {"name": "gaussian-noise", "std": std}
        assert explained(adaptive(IDLG(), noise), victims, seen) == [right, right]


@pytest.mark.numeric
def test_each_local_step_has_draws_of_its_own() -> None:
    victims, _ = clients("mlp", 2)
    model = victims.model.double()
    images, target = victims.images[0].double(), torch.eye(10).double()[victims.labels[0]]
    draws = torch.randn(4, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    order = torch.tensor([[0, 1], [1, 0]])
    client = Client(model, LocalTraining(0.1, steps=2, batch_size=2))
    assert_same(
        client.upload(images, target, order, draws=draws)["head.bias"],
        _by_hand(model, images, target, order, draws),
    )


def _by_hand(
    model: nn.Module, images: Tensor, target: Tensor, order: Tensor, draws: Tensor
) -> Tensor:
    """Return the mean gradient of the last bias over steps of SGD at a rate of 0.1."""
    layer, total = model.get_submodule("bottleneck"), torch.zeros(10, dtype=torch.float64)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for step, drawn in zip(order, draws.chunk(len(order)), strict=True):
        layer.draws = drawn  # type: ignore[assignment]
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images[step]), target[step]).backward()  # type: ignore[no-untyped-call]
        bias = model.get_parameter("head.bias").grad
        assert bias is not None
        total += bias / len(order)
        optimiser.step()
    return total
