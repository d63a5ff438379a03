"""The adaptive attacker of texts: the form of an attack that can know a defense."""

from __future__ import annotations

import pytest
import torch

from fedsim.attacks import TokenSearch
from fedsim.attacks.adaptive import Known
from fedsim.attacks.matching.objectives import GaussianLikelihood, LaplacianLikelihood
from fedsim.attacks.matching.processing import Clip
from fedsim.core.tasks import Task
from fedsim.server.adapting import Adapting
from tests.fedsim.text_runs import texts
from tests.texts import DATA, MAX_TOKENS, vocabulary

PUBLIC = vocabulary().prepare(DATA, Task.CLASSIFY, MAX_TOKENS, first=True).test
NOISE = "{ name = 'gaussian-noise', std = 1e-2 }"
LAPLACE = "{ name = 'laplacian-noise', scale = 1e-2 }"
PRIVATE = "{ name = 'dp-sgd', norm = 0.5, noise_multiplier = 0.1 }"


def adapting(attack: str, *defenses: str) -> Adapting:
    """Return the adversary's adapting of an attack to two clients with the same defenses."""
    clients = f"clients=[{{ name = 'all', count = 2, defenses = [{', '.join(defenses)}] }}]"
    scenario = texts(clients, "adversary.adaptive=true", f"adversary.attack='{attack}'")
    assert scenario.adversary is not None
    naive = scenario.adversary.attack.with_public_texts(PUBLIC.rows())
    return Adapting(scenario, naive, PUBLIC, lambda examples: 1.0, torch.device("cpu"))


@pytest.mark.parametrize("attack", ["dager", "bag-of-tokens", "token-search"])
def test_noise_is_attacked_by_a_search_among_tokens(attack: str) -> None:
    found = adapting(attack, NOISE).adapted([0], Known(batch_size=2))
    assert isinstance(found, TokenSearch)
    assert found.objective == GaussianLikelihood(1e-2)
    assert found.public is not None
    laplace = adapting(attack, LAPLACE).adapted([0], Known(batch_size=2))
    assert isinstance(laplace, TokenSearch)
    assert laplace.objective == LaplacianLikelihood(1e-2)
    assert adapting(attack).adapted([0], Known(batch_size=2)) is None


def test_dp_sgd_is_attacked_with_clipped_texts_and_the_noise_of_the_sum() -> None:
    found = adapting("dager", PRIVATE).adapted([0], Known(batch_size=2))
    assert isinstance(found, TokenSearch)
    assert found.per_example == (Clip(0.5),)
    assert found.objective == GaussianLikelihood(0.1 * 0.5 / 2)
    assert not found.approximate


def test_a_sum_of_noisy_uploads_has_the_mean_noise() -> None:
    found = adapting("dager", NOISE).adapted([0, 1], Known(batch_size=2))
    assert isinstance(found, TokenSearch)
    assert found.objective == GaussianLikelihood(pytest.approx(1e-2 / 2**0.5))
