"""Several rounds of one client as one observation."""

from dataclasses import replace

import pytest
import torch

from fedsim.attacks import DLG, IDLG, LocalTraining, Observation
from fedsim.attacks.functional import parameters
from fedsim.attacks.rounds import over_rounds
from fedsim.clients.training import gradient
from fedsim.core.errors import AttackError
from fedsim.models import MLP


def rounds(count: int = 2) -> tuple[list[torch.nn.Module], list[Observation], torch.Tensor]:
    image, label = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(0)), 2
    models: list[torch.nn.Module] = [
        MLP(hidden=(8,)).build((1, 6, 6), 4, seed=s).double() for s in range(count)
    ]
    image = image.double()
    shared = [gradient(m, (image, torch.tensor([label]))).arrays for m in models]
    return models, [Observation(g, (1, 6, 6)) for g in shared], image


def test_the_gradient_of_the_whole_is_that_of_each_round() -> None:
    models, observations, image = rounds()
    joint, observation = over_rounds(models, observations)
    assert observation.labels is not None
    assert observation.labels.tolist() == [2]
    assert observation.gradient.keys() == parameters(joint).keys()
    fit = DLG().truth_fit(joint, observation, image, observation.labels)
    assert fit.explained
    assert fit.relative_objective < 1e-20


def test_rounds_average_the_noise() -> None:
    """The same model and example in 6 rounds: the error falls about as the noise's mean does."""
    models, observations, image = rounds(1)
    generator = torch.Generator().manual_seed(0)
    noisy = [
        replace(
            observations[0],
            labels=torch.tensor([2]),
            gradient={
                k: g + 0.003 * torch.randn(g.shape, generator=generator, dtype=g.dtype)
                for k, g in observations[0].gradient.items()
            },
        )
        for _ in range(6)
    ]
    attack = IDLG(evaluations=40)
    [one] = attack.run(models[0], noisy[:1])
    joint, observation = over_rounds(models * 6, noisy)
    [together] = attack.run(joint, [observation])
    assert one.data is not None
    assert together.data is not None
    errors = [float((found.data - image).square().mean()) for found in (one, together)]  # type: ignore[operator]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("case", ["no round", "batch", "steps"])
def test_rounds_that_do_not_fit_are_refused(case: str) -> None:
    models, observations, _ = rounds(2)
    if case == "no round":
        models, observations = [], []
    elif case == "batch":
        observations[1] = replace(observations[1], batch_size=2)
    else:
        observations[1] = replace(observations[1], training=LocalTraining(0.1, 2, 1))
    with pytest.raises(AttackError, match="expected"):
        over_rounds(models, observations)
