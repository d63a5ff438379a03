"""GradInversion: the statistics of BatchNorm and agreement among trials."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fedsim.attacks import GradInversion, Observation, SquaredDistance
from fedsim.attacks.functional import parameters, with_statistics
from fedsim.attacks.gradinversion import WithStatistics
from fedsim.clients.training import gradient
from tests.victims import fashion_victims


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(8 * 49, 10),
    )  # fmt: skip


def observed(model: nn.Module, batch_size: int = 4) -> tuple[Observation, torch.Tensor]:
    victims = fashion_victims(1, batch_size=batch_size, shrink=2)
    images, labels = victims.images[0], victims.labels[0]
    _, statistics = with_statistics(model)(parameters(model), images)
    arrays = gradient(model, (images, labels)).arrays
    shared = {k: arrays[k] for k in parameters(model)}
    return Observation(shared, (1, 14, 14), batch_size, labels, statistics=statistics), images


@pytest.mark.slow
def test_statistics_draw_the_batch_towards_its_own() -> None:
    """With the batch's statistics the reconstruction's are nearer to them than without."""
    model = network().train()
    seen, _ = observed(model)

    def distance(weight: float) -> float:
        attack = GradInversion(evaluations=120, trials=1, statistics=weight, total_variation=0)
        [found] = attack.run(model, [seen])
        assert found.data is not None
        _, own = with_statistics(model)(parameters(model), found.data)
        assert seen.statistics is not None
        return sum(float(((own[k] - s) ** 2).sum()) for k, s in seen.statistics.items())

    assert distance(10.0) < 0.5 * distance(0.0)


def test_the_models_running_statistics_stand_in_once_they_have_seen_a_batch() -> None:
    model = network().train()
    seen, images = observed(model)
    attack, bare = GradInversion(), replace(seen, statistics=None)
    fresh = network().train()
    assert set(attack.shared(fresh, bare)) == set(parameters(fresh))
    assert attack.statistics_source(fresh, bare) == "none"
    with torch.no_grad():
        model(images)
    own = attack.shared(model, bare)
    assert seen.statistics is not None
    mean = "1.running_mean"
    assert torch.allclose(own[mean], seen.statistics[mean], atol=1e-6)
    assert attack.statistics_source(model, bare) == "running"
    theirs = attack.shared(model, seen)
    assert torch.equal(theirs["1.running_var"], seen.statistics["1.running_var"])
    assert attack.statistics_source(model, seen) == "uploaded"
    plain = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert attack.statistics_source(plain, bare) is None


def test_the_truth_fits_perfectly() -> None:
    model = network().train()
    seen, images = observed(model)
    attack = GradInversion(total_variation=0, l2=0)
    assert seen.labels is not None
    assert attack.relative_objective_of(model, seen, images, seen.labels) == pytest.approx(
        0, abs=1e-6
    )
    assert attack.relative_objective_of(model, seen, 1 - images, seen.labels) > 1e-3


def test_statistics_count_relative_to_themselves() -> None:
    objective = WithStatistics(SquaredDistance(), weight=3.0)
    mean, variance = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0])
    shared = {"w": torch.tensor([1.0]), "n.running_mean": mean, "n.running_var": variance}
    dummy = {"w": torch.tensor([3.0]), "n.running_mean": mean + 1, "n.running_var": variance - 1}
    assert objective(dummy, shared) == pytest.approx(4 + 3 * 2 / 8 + 3 * 2 / 10, rel=1e-4)


def test_statistics_of_zero_are_not_divided_by() -> None:
    objective = WithStatistics(SquaredDistance(), weight=1.0)
    zero = torch.zeros(2)
    shared = {"w": zero, "n.running_mean": zero, "n.running_var": torch.ones(2)}
    assert float(objective({**shared, "n.running_mean": zero + 0.1}, shared)) < 1
    silent = {**shared, "n.running_var": zero}
    assert torch.isfinite(objective({**silent, "n.running_mean": zero + 0.1}, silent))


def test_trials_agree() -> None:
    """The distance from the mean of a victim's trials, and its gradient, by hand."""
    data = torch.tensor([[0.0, 0.0], [2.0, 4.0], [5.0, 5.0]], requires_grad=True)
    victims = torch.tensor([7, 7, 9])
    tied = GradInversion(consistency=0.5).couple(data, victims)
    assert tied is not None
    values, gradients = tied
    assert values.tolist() == [0.5 * 5, 0.5 * 5, 0]
    assert gradients.tolist() == [[-1, -2], [1, 2], [0, 0]]
    assert GradInversion(consistency=0.0).couple(data, victims) is None
    assert GradInversion(trials=1).couple(data, victims) is None


@pytest.mark.slow
def test_batches_are_recognised() -> None:
    """A batch of two, with BatchNorm in training mode: above grey by 4 dB in the median."""
    model = network().train()
    victims = fashion_victims(1, batch_size=2, shrink=2)
    seen, _ = observed(model, 2)
    found = GradInversion(evaluations=500, trials=2, l2=0).run(model, [seen])
    assert (victims.psnr(found) - victims.grey_psnr()).median() > 4
