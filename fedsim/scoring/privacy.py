"""Privacy accounting: the epsilon that each client has spent, by Opacus' accountants."""

from __future__ import annotations

import warnings
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from fedsim.clients.defenses import Defense, Mechanism
from fedsim.clients.site import Site
from fedsim.log.schema import PrivacySpent

if TYPE_CHECKING:
    from opacus.accountants import RDPAccountant


class PrivacyLedger:
    """Sums the privacy cost of each client's uploads, by Renyi differential privacy (Mironov 2017).

    If a chain has several private mechanisms, the first is accounted for; the others can only add
    privacy. There is no guarantee, and so no epsilon, if another defense mixes examples before the
    gradients of single examples are bounded, or if the upload contains BatchNorm statistics, which
    are not bounded.

    Steps that sample examples are accounted for as if each example were drawn independently, as in
    Opacus, although a client draws batches of a fixed size. Participation in a round adds no
    privacy, because the server sees the participants.

    Args:
        site: the scenario with its data.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._accountants: defaultdict[int, RDPAccountant] = defaultdict(_accountant)

    def spend(self, partition: int) -> PrivacySpent | None:
        """Account for one more upload of a client, and return the privacy spent so far."""
        mechanism = self._mechanism(partition)
        if mechanism is None:
            return None
        federation = self._site.scenario.federation
        steps, rate = 1, 1.0
        if mechanism.unit == "example":
            steps = federation.local_steps
            rate = federation.batch_size / len(self._site.partitions[partition])
        accountant = self._accountants[partition]
        for _ in range(steps):
            accountant.step(noise_multiplier=mechanism.noise_multiplier, sample_rate=rate)
        return PrivacySpent(
            epsilon=epsilon_of(accountant, mechanism.delta),
            delta=mechanism.delta,
            unit=mechanism.unit,
        )

    def _mechanism(self, partition: int) -> Mechanism | None:
        chain: list[Defense] = self._site.scenario.group_of(partition).defenses
        model = self._site.architecture
        parameters = {name for name, _ in model.named_parameters()}
        if set(model.state_dict()) - parameters:
            return None
        mixed = any(type(d).protect_batch is not Defense.protect_batch for d in chain)
        found = [m for d in chain if (m := d.mechanism()) is not None]
        usable = [m for m in found if m.unit == "client" or not mixed]
        return usable[0] if usable else None


def epsilon_of(accountant: RDPAccountant, delta: float) -> float:
    """Return the accountant's current epsilon."""
    with warnings.catch_warnings():
        # With very little or very much noise, the best order is at an end of Opacus' list.
        warnings.simplefilter("ignore")
        epsilon: Any = accountant.get_epsilon(delta=delta)
    return float(epsilon)


def _accountant() -> RDPAccountant:
    # The import takes seconds, and most runs do not need it.
    from opacus.accountants import RDPAccountant  # noqa: PLC0415

    return RDPAccountant()
