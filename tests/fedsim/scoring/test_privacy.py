"""What clients have spent of their privacy is what Opacus says."""

import warnings
from typing import Annotated, Literal

import pytest
from pydantic import Field

from fedsim.clients.defenses import Defense, GaussianNoise, Mechanism
from fedsim.clients.site import Site, open_site
from fedsim.core.registry import DEFENSES
from fedsim.scoring.privacy import PrivacyLedger
from tests.fedsim.small import groups, small


@DEFENSES.register("test-private")
class Private(Defense):
    """A defense that claims what it is told to."""

    unit: Annotated[Literal["example", "client"], Field(description="whose")]
    noise_multiplier: Annotated[float, Field(description="how much")] = 1.0

    def mechanism(self) -> Mechanism:
        """Return the claim."""
        return Mechanism(self.noise_multiplier, 1e-5, self.unit)


def site(chain: str, *overrides: str) -> Site:
    return open_site(small(groups(chain), *overrides))


def test_nothing_is_guaranteed_without_a_mechanism() -> None:
    assert PrivacyLedger(site("[{name='gaussian-noise', std=1.0}]")).spend(0) is None
    assert GaussianNoise(std=1.0).mechanism() is None


@pytest.mark.parametrize("noise_multiplier", [0.5, 1.0, 4.0])
def test_a_clients_uploads_add_up(noise_multiplier: float) -> None:
    accountants = pytest.importorskip("opacus.accountants")
    chain = f"[{{name='test-private', unit='client', noise_multiplier={noise_multiplier}}}]"
    ledger = PrivacyLedger(site(chain))
    peer = accountants.RDPAccountant()
    for _ in range(5):
        spent = ledger.spend(0)
        peer.step(noise_multiplier=noise_multiplier, sample_rate=1.0)
        assert spent is not None
        assert spent.epsilon == pytest.approx(peer.get_epsilon(1e-5), abs=1e-6)
        assert (spent.delta, spent.unit) == (1e-5, "client")


def test_steps_draw_examples() -> None:
    accountants = pytest.importorskip("opacus.accountants")
    opened = site(
        "[{name='test-private', unit='example'}]",
        "federation={upload='update', local_steps=3, batch_size=2}",
    )
    spent = PrivacyLedger(opened).spend(0)
    peer = accountants.RDPAccountant()
    for _ in range(3):
        peer.step(noise_multiplier=1.0, sample_rate=2 / len(opened.partitions[0]))
    assert spent is not None
    assert spent.epsilon == pytest.approx(peer.get_epsilon(1e-5), abs=1e-6)


@pytest.mark.parametrize("noise_multiplier", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("delta", [1e-6, 1e-3])
@pytest.mark.parametrize(
    ("name", "federation"),
    [
        ("local-dp", "{rounds=7, batch_size=3}"),
        ("dp-sgd", "{rounds=7, batch_size=3}"),
        ("dp-sgd", "{rounds=7, batch_size=3, upload='update', local_steps=2}"),
    ],
)
def test_what_the_defenses_spend_is_what_opacus_computes(
    name: str, federation: str, noise_multiplier: float, delta: float
) -> None:
    """By Opacus' formulas themselves, for all steps at once."""
    rdp = pytest.importorskip("opacus.accountants.analysis.rdp")
    accountants = pytest.importorskip("opacus.accountants")
    strength = f"norm=1.0, noise_multiplier={noise_multiplier}, delta={delta}"
    opened = site(f"[{{name='{name}', {strength}}}]", f"federation={federation}")
    ledger, rounds = PrivacyLedger(opened), opened.scenario.federation.rounds
    spent = [ledger.spend(0) for _ in range(rounds)][-1]
    assert spent is not None
    whole = name == "local-dp"
    orders = accountants.RDPAccountant.DEFAULT_ALPHAS
    divergence = rdp.compute_rdp(
        q=1.0 if whole else 3 / len(opened.partitions[0]),
        noise_multiplier=noise_multiplier,
        steps=rounds * (1 if whole else opened.scenario.federation.local_steps),
        orders=orders,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the best order may be the last
        expected, _ = rdp.get_privacy_spent(orders=orders, rdp=divergence, delta=delta)
    assert spent.epsilon == pytest.approx(expected, abs=1e-6)
    assert (spent.delta, spent.unit) == (delta, "client" if whole else "example")


def test_other_clients_spend_their_own() -> None:
    opened = open_site(small(groups("[{name='test-private', unit='client'}]", count=2)))
    ledger = PrivacyLedger(opened)
    ledger.spend(0)
    later, first = ledger.spend(0), ledger.spend(1)
    assert later is not None
    assert first is not None
    assert first.epsilon < later.epsilon


def test_a_closed_form() -> None:
    """One Gaussian mechanism: Renyi's divergence of order a is a / (2 sigma^2)."""
    spent = PrivacyLedger(site("[{name='test-private', unit='client'}]")).spend(0)
    assert spent is not None
    # The classical conversion, minimised over a, is an upper bound of what Opacus finds.
    bound = min(a / 2 + 11.512925464970229 / (a - 1) for a in (x / 100 for x in range(101, 5000)))
    assert 0 < spent.epsilon <= bound


def test_no_guarantee_beside_running_statistics() -> None:
    opened = site("[{name='test-private', unit='client'}]", "model='resnet18'")
    assert PrivacyLedger(opened).spend(0) is None
