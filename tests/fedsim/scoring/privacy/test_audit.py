"""Audits measure less than is claimed, and more where a mechanism is broken."""

import pytest
import torch
from torch import nn

from fedsim.clients.defenses import DPSGD, Batch, Computed, Defense, LocalDP, Mechanism, Pruning
from fedsim.clients.site import open_site
from fedsim.core.checked import checked
from fedsim.core.errors import RunError
from fedsim.core.registry import DEFENSES
from fedsim.scoring.privacy import Audit, Client, PrivacyLedger, Release, audit
from tests.fedsim.small import groups, small

MANY = 500  # examples of an upload: few uploads have enough canaries


@checked
class NoiseFirst(DPSGD):
    """A broken mechanism: the noise is added before the clipping."""

    def compute_gradient(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> Computed:
        """Return clipped noisy gradients of a linear model: its input scales the gradient."""
        clipped = DPSGD(norm=self.norm, noise_multiplier=0.0)
        noise = self.noise_multiplier * self.norm
        noisy = batch.inputs + noise * torch.randn(batch.inputs.shape, generator=generator)
        return clipped.compute_gradient(model, Batch(noisy, batch.labels), generator)


@checked
class SeededNoise(DPSGD):
    """A broken mechanism: the noise is always the same."""

    def compute_gradient(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> Computed:
        """Return a gradient with noise that can be repeated."""
        return super().compute_gradient(model, batch, torch.Generator().manual_seed(0))


@checked
class HalfNoise(DPSGD):
    """A broken mechanism: half of the noise that it claims."""

    def compute_gradient(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> Computed:
        """Return a gradient with too little noise."""
        honest = DPSGD(norm=self.norm, noise_multiplier=self.noise_multiplier / 2)
        return honest.compute_gradient(model, batch, generator)


def audited(*chain: Defense, batch: int = MANY, steps: int = 1, gradient: bool = True) -> Audit:
    mechanism = next(m for d in chain if (m := d.mechanism()) is not None)
    population = batch * steps if mechanism.unit == "example" else batch
    client = Client(chain, mechanism, population, batch, steps, gradient)
    return audit(client, Release(mechanism.noise_multiplier), 1)


@pytest.mark.parametrize("multiplier", [0.5, 1.0, 4.0])
def test_less_is_measured_than_claimed_but_not_much_less(multiplier: float) -> None:
    found = audited(DPSGD(norm=0.5, noise_multiplier=multiplier))
    assert 0.5 * found.claimed < found.measured <= found.claimed
    assert 0 < found.measured_any < found.claimed
    assert found.claimed == Release(multiplier).epsilon(1, 1e-5)


@pytest.mark.parametrize(("steps", "gradient"), [(1, False), (4, False)])
def test_local_steps_reveal_no_more(steps: int, gradient: bool) -> None:
    defense = DPSGD(norm=0.5, noise_multiplier=1.0)
    found = audited(defense, batch=MANY // steps, steps=steps, gradient=gradient)
    assert 0 < found.measured <= found.claimed


@pytest.mark.slow
@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("multiplier", [0.5, 1.0, 4.0])
def test_a_whole_client_reveals_no_more_than_is_claimed(multiplier: float, gradient: bool) -> None:
    found = audited(LocalDP(norm=2.0, noise_multiplier=multiplier), batch=2, gradient=gradient)
    assert 0.3 * found.claimed < found.measured <= found.claimed


@pytest.mark.slow
def test_many_rounds_with_sampling_reveal_no_more_than_is_claimed() -> None:
    defense = DPSGD(norm=0.5, noise_multiplier=1.0)
    client = Client((defense,), Mechanism(1.0, 1e-5, "example", 0.5), 125, 32)
    found = audit(client, Release(1.0, 32, 125), 30)
    assert found.uploads == 30
    assert 2 < found.measured <= found.claimed


def test_what_is_done_afterwards_reveals_no_more() -> None:
    alone = DPSGD(norm=0.5, noise_multiplier=1.0)
    found = audited(alone, Pruning(fraction=0.5))
    assert 0 < found.measured <= found.claimed


@pytest.mark.parametrize("broken", [NoiseFirst, SeededNoise, HalfNoise])
def test_a_broken_mechanism_is_refuted(
    broken: type[DPSGD], monkeypatch: pytest.MonkeyPatch
) -> None:
    DEFENSES.names()  # loads them
    known = {**DEFENSES._classes, "test-broken": broken}
    monkeypatch.setattr(DEFENSES, "_classes", known)
    with pytest.raises(RunError, match=r"the privacy audit refutes the claim of .*measured >= "):
        audited(broken(norm=0.5, noise_multiplier=2.0))


def test_a_run_states_the_audit_beside_each_epsilon() -> None:
    chain = "[{name='dp-sgd', norm=1.0, noise_multiplier=1.0}]"
    opened = open_site(small(groups(chain), "federation.batch_size=250"))
    ledger = PrivacyLedger(opened)
    ledger.audit()
    spent = ledger.spend(0)
    assert spent is not None
    assert spent.claimed == Release(1.0).epsilon(1, 1e-5)
    assert spent.measured is not None
    assert 0 < spent.measured <= spent.claimed
    assert list(ledger.by_group(3)) == ["group 0"]
