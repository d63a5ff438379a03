"""Ledger of the privacy that each client has spent."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache

from fedsim.clients.defenses import Check, Defense, Mechanism
from fedsim.clients.site import Site
from fedsim.log.schema import PrivacySpent
from fedsim.scoring.privacy.accountant import Release
from fedsim.scoring.privacy.audit import Audit, audit
from fedsim.scoring.privacy.canaries import Client

BLIND = 0.01
"""Success of blind guesses for which the bound on reconstructions is stated."""


class PrivacyLedger:
    """Sums the privacy cost of each client's uploads.

    If a chain has several private mechanisms, the first is accounted for; the others can only add
    privacy. Nothing is guaranteed, and no epsilon stated, if something is sent that no mechanism
    bounds: BatchNorm statistics, the lengths of texts, examples that another defense has mixed, or
    the refusal of a check that looks at the batch.

    Args:
        site: the scenario with its data.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._uploads: Counter[int] = Counter()
        self._audits: dict[str, Audit] = {}

    def spend(self, partition: int) -> PrivacySpent | None:
        """Account for one more upload of a client, and return the privacy spent so far."""
        self._uploads[partition] += 1
        return self.spent(partition, self._uploads[partition])

    def spent(self, partition: int, uploads: int) -> PrivacySpent | None:
        """Return the privacy that a client spends in a number of uploads; None without a mechanism.

        Args:
            partition: the client.
            uploads: number of uploads; not added to the ledger.
        """
        mechanism = self.mechanism(partition)
        if mechanism is None:
            return None
        release = self.release(partition, mechanism)
        withheld = self._withheld(partition, mechanism)
        epsilon, success = _bounds(release, uploads, mechanism.delta)
        found = self._audits.get(self._site.scenario.group_of(partition).name)
        return PrivacySpent(
            epsilon=None if withheld else epsilon,
            delta=mechanism.delta,
            unit=mechanism.unit,
            adjacency="replace-one",
            noise_multiplier=mechanism.noise_multiplier,
            norm=mechanism.norm,
            drawn=release.drawn,
            population=release.population,
            uses=release.uses,
            uploads=uploads,
            blind=BLIND,
            success=None if withheld else success,
            claimed=None if found is None else found.claimed,
            measured=None if found is None else max(found.measured, found.measured_any),
            withheld=withheld,
        )

    def audit(self) -> None:
        """Audit the mechanism of each client group, before anything is sent.

        One upload is audited, with all examples that it draws: the rounds and the sampling are the
        accountant's.

        Raises:
            RunError: an audit refutes a claim.
        """
        for partition in range(len(self._site.partitions)):
            mechanism = self.mechanism(partition)
            group = self._site.scenario.group_of(partition).name
            if mechanism is None or group in self._audits or self._withheld(partition, mechanism):
                continue
            self._audits[group] = self._audit_of(partition, mechanism)

    def _audit_of(self, partition: int, mechanism: Mechanism) -> Audit:
        federation, release = self._site.scenario.federation, self.release(partition, mechanism)
        drawn = release.drawn if mechanism.unit == "example" else federation.batch_size
        client = Client(
            tuple(self._chain(partition)),
            mechanism,
            drawn,
            federation.batch_size,
            federation.local_steps,
            federation.upload == "gradient",
            federation.local_epochs,
        )
        return audit(client, replace(release, population=release.drawn), 1)

    def by_group(self, uploads: int) -> dict[str, PrivacySpent]:
        """Return the largest privacy cost of a number of uploads, by group."""
        found: dict[str, PrivacySpent] = {}
        # The client with the fewest examples last.
        for partition, _ in sorted(
            enumerate(self._site.partitions), key=lambda p: len(p[1]), reverse=True
        ):
            spent = self.spent(partition, uploads)
            if spent is not None:
                found[self._site.scenario.group_of(partition).name] = spent
        return found

    def mechanism(self, partition: int) -> Mechanism | None:
        """Return the mechanism that is accounted for, or None if the client has none."""
        chain = self._chain(partition)
        found = [m for d in chain if (m := d.mechanism()) is not None]
        whole = [m for m in found if m.unit == "client" or not _mixes(chain)]
        return next(iter([*whole, *found]), None)

    def release(self, partition: int, mechanism: Mechanism) -> Release:
        """Return the release behind each upload of a client.

        The local steps of a round go through the data without repeating an example before all were
        used. While there are enough examples, an example is thus part of at most one step, and the
        round is one draw without replacement of all its examples at once: given the order of the
        batches, two neighbours differ in one step, and what follows depends on its result alone.
        With more steps each example is in at most ``uses`` of them, and no sampling is claimed.
        """
        if mechanism.unit == "client":
            return Release(mechanism.noise_multiplier)
        federation = self._site.scenario.federation
        own = len(self._site.partitions[partition])
        seen = federation.uses_of(own)
        return Release(mechanism.noise_multiplier, min(seen, own), own, -(-seen // own))

    def _chain(self, partition: int) -> list[Defense]:
        return self._site.scenario.group_of(partition).defenses

    def _withheld(self, partition: int, mechanism: Mechanism) -> str | None:
        """Return the reason why there is no guarantee in spite of the mechanism, or None."""
        model = self._site.architecture
        if set(model.state_dict()) - {name for name, _ in model.named_parameters()}:
            return "the upload has the running statistics of the model, which are not bounded"
        if mechanism.unit == "example" and _mixes(self._chain(partition)):
            return "another defense mixes or changes the examples before they are bounded"
        if self._site.dataset.train.ragged:
            return "the lengths of the texts are sent in the clear"
        if any(map(_refuses_by_data, self._chain(partition))):
            return "a check refuses rounds by what is in the batch, which nothing bounds"
        return None


@lru_cache(maxsize=512)
def _bounds(release: Release, uploads: int, delta: float) -> tuple[float, float]:
    return release.epsilon(uploads, delta), release.success(uploads, BLIND)


def _refuses_by_data(defense: Defense) -> bool:
    return isinstance(defense, Check) and defense.needs_data and defense.action == "refuse"


def _mixes(chain: list[Defense]) -> bool:
    return any(type(d).protect_batch is not Defense.protect_batch for d in chain)
