"""DP-SGD where the examples are texts."""

import numpy as np
import pytest
import torch

from fedsim.clients.defenses import DPSGD, Batch
from fedsim.clients.training import gradient
from fedsim.core.tasks import Task
from tests.texts import victim

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("causal", [False, True], ids=["bert", "gpt2"])
def test_without_noise_and_bound_it_is_the_gradient(causal: bool) -> None:
    data, model = victim(Task.CLASSIFY, causal=causal, width=16)
    batch = data.train.batch(np.arange(3))
    generator = torch.Generator().manual_seed(0)
    defense = DPSGD(norm=1e6, noise_multiplier=0.0)
    found = defense.compute_gradient(model, Batch(*batch), generator).gradients
    for name, expected in gradient(model, batch).arrays.items():
        torch.testing.assert_close(found[name], expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("task", [Task.MASKED, Task.NEXT])
def test_each_text_is_clipped(task: Task) -> None:
    """One text's gradient is at most as long as the bound."""
    data, model = victim(task, width=16)
    batch = data.train.batch(np.array([0]))
    made = DPSGD(norm=0.01, noise_multiplier=0.0).compute_gradient(
        model, Batch(*batch), torch.Generator().manual_seed(0)
    )
    norm = torch.stack([g.norm() for g in made.gradients.values()]).norm()
    assert float(norm) == pytest.approx(0.01, rel=1e-4)
    assert made.did["clipped_fraction"] == 1.0
