import torch

from tests.benchmarks.device import DEVICES, placed, timed
from tests.victims import random_victims


def test_placed() -> None:
    victims = random_victims((1, 8, 8), count=2)
    expected = victims.observations()
    for device in DEVICES:
        model, observations = placed(victims, device)
        assert {p.device.type for p in model.parameters()} == {device}
        for seen, wanted in zip(observations, expected, strict=True):
            assert seen.input_shape == (1, 8, 8)
            for name, gradient in wanted.gradient.items():
                assert seen.gradient[name].device.type == device
                assert torch.equal(seen.gradient[name].cpu(), gradient)
    assert {p.device.type for p in victims.model.parameters()} == {"cpu"}


def test_timed() -> None:
    seconds, result = timed(lambda: 7, "cpu")
    assert result == 7
    assert 0 <= seconds < 1
