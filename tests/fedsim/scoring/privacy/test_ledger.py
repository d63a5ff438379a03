"""What clients have spent of their privacy, and what withdraws the guarantee."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from fedsim.clients.defenses import Defense, GaussianNoise, Mechanism
from fedsim.clients.site import Site, open_site
from fedsim.core.registry import DEFENSES
from fedsim.log.schema import PrivacySpent
from fedsim.scoring.privacy import PrivacyLedger, Release
from tests.fedsim.small import groups, small

WHOLE, SINGLE = (f"[{{name='test-private', unit='{unit}'}}]" for unit in ("client", "example"))


@DEFENSES.register("test-private")
class Private(Defense):
    """A defense that claims what it is told to."""

    unit: Annotated[Literal["example", "client"], Field(description="whose", examples=["client"])]
    noise_multiplier: Annotated[float, Field(description="how much")] = 1.0

    def mechanism(self) -> Mechanism:
        """Return the claim."""
        return Mechanism(self.noise_multiplier, 1e-5, self.unit, 3.0)


def site(chain: str, *overrides: str) -> Site:
    return open_site(small(groups(chain), *overrides))


def spent_by(opened: Site, uploads: int = 1) -> PrivacySpent:
    ledger = PrivacyLedger(opened)
    spent = [ledger.spend(0) for _ in range(uploads)][-1]
    assert spent is not None
    return spent


def test_nothing_is_guaranteed_without_a_mechanism() -> None:
    assert PrivacyLedger(site("[{name='gaussian-noise', std=1.0}]")).spend(0) is None
    assert GaussianNoise(std=1.0).mechanism() is None


def test_a_guarantee_states_all_that_it_depends_on() -> None:
    spent = spent_by(site(WHOLE), 5)
    assert (spent.epsilon, spent.delta) == (Release(1.0).epsilon(5, 1e-5), 1e-5)
    assert (spent.unit, spent.adjacency) == ("client", "replace-one")
    assert (spent.noise_multiplier, spent.norm, spent.uploads) == (1.0, 3.0, 5)
    assert (spent.blind, spent.success) == (0.01, Release(1.0).success(5, 0.01))
    assert spent.withheld is None


@pytest.mark.parametrize("steps", [1, 3])
def test_local_steps_are_one_draw_of_their_examples(steps: int) -> None:
    opened = site(SINGLE, f"federation={{upload='update', local_steps={steps}, batch_size=2}}")
    own = len(opened.partitions[0])
    spent = spent_by(opened, 4)
    assert (spent.drawn, spent.population, spent.uses) == (2 * steps, own, 1)
    assert spent.epsilon == Release(1.0, 2 * steps, own).epsilon(4, 1e-5)


def test_further_passes_use_each_example_again_and_claim_no_sampling() -> None:
    own = len(site(SINGLE).partitions[0])
    steps = own // 2 + 1
    opened = site(SINGLE, f"federation={{upload='update', local_steps={steps}, batch_size=2}}")
    spent = spent_by(opened)
    assert (spent.drawn, spent.population, spent.uses) == (own, own, 2)
    assert spent.epsilon == Release(1.0).epsilon(2, 1e-5)


def test_other_clients_spend_their_own() -> None:
    ledger = PrivacyLedger(open_site(small(groups(WHOLE, count=2))))
    ledger.spend(0)
    later, first = ledger.spend(0), ledger.spend(1)
    assert later is not None
    assert first is not None
    assert (first.uploads, later.uploads) == (1, 2)


@pytest.mark.parametrize(
    ("chain", "overrides", "reason"),
    [
        (WHOLE, ["model='resnet18'"], "running statistics"),
        (SINGLE.replace("[", "[{name='mixup', alpha=1.0}, "), [], "mixes or changes the examples"),
        (SINGLE.replace("[", "['single-example-dominance', "), [], "by what is in the batch"),
    ],
)
def test_what_no_mechanism_bounds_withdraws_the_guarantee(
    chain: str, overrides: list[str], reason: str
) -> None:
    spent = spent_by(site(chain, *overrides))
    assert (spent.epsilon, spent.success) == (None, None)
    assert reason in str(spent.withheld)


@pytest.mark.parametrize(
    "check", ["{name='single-example-dominance', action='warn'}", "'weight-statistics'"]
)
def test_checks_that_tell_nothing_of_the_batch_leave_the_guarantee(check: str) -> None:
    """A client with a mechanism of privacy sends no warnings."""
    assert spent_by(site(SINGLE.replace("[", f"[{check}, "))).epsilon


def test_mixed_examples_do_not_weaken_the_guarantee_of_a_whole_client() -> None:
    assert spent_by(site(WHOLE.replace("[", "[{name='mixup', alpha=1.0}, "))).epsilon
