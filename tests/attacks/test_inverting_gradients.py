"""Inverting Gradients."""

from dataclasses import replace

import pytest

from fedsim.attacks import InvertingGradients, Observation, TotalVariation
from tests.victims import fashion_victims


@pytest.mark.slow
def test_small_pictures() -> None:
    """Clothes of 14 x 14, each at least 8 dB above grey."""
    victims = fashion_victims(3, shrink=2)
    found = InvertingGradients(evaluations=400).run(victims.model, victims.observations())
    assert (victims.psnr(found) - victims.grey_psnr()).min() > 8


@pytest.mark.slow
def test_the_size_of_the_gradient_does_not_matter() -> None:
    """Clipping only rescales, and the cosine does not see it."""
    victims = fashion_victims(2, shrink=2)
    seen = victims.observations()
    clipped = [replace(o, gradient={k: 0.01 * g for k, g in o.gradient.items()}) for o in seen]
    attack = InvertingGradients(evaluations=120)
    one, other = (victims.psnr(attack.run(victims.model, o)) for o in (seen, clipped))
    assert (one - other).abs().max() < 1.0


def test_total_variation_is_part_of_the_objective() -> None:
    attack = InvertingGradients(total_variation=0.5)
    victims = fashion_victims(1, shrink=2)
    assert TotalVariation(0.5) in attack.regularisers(victims.model)
    [seen] = victims.observations()
    images, labels = victims.images[0], victims.labels[0]
    assert isinstance(seen, Observation)
    rough = attack.relative_objective_of(victims.model, seen, images, labels)
    smooth = InvertingGradients(total_variation=0.0).relative_objective_of(
        victims.model, seen, images, labels
    )
    assert smooth == pytest.approx(0, abs=1e-5)
    assert rough == pytest.approx(float(TotalVariation(0.5)(images)), abs=1e-5)
