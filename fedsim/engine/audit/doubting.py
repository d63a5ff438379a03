"""Remarks on victims whose private data contradict what the auditor stated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from fedsim.core.names import NAIVE
from fedsim.engine.audit.differences import differences
from fedsim.engine.audit.evidence import Evidence
from fedsim.engine.audit.explanation import explanation
from fedsim.engine.audit.kept import KeptBatches
from fedsim.engine.audit.replays import replayed_misfits
from fedsim.engine.audit.site import AppSite
from fedsim.scoring import Scored
from fedsim.server.uploads import Upload
from fedsim.server.victims import Outcome

EARLIER = 2
"""Number of earlier models that an upload may answer by mistake."""


class Doubting:
    """Finds out why the private data of a victim do not explain its upload.

    Args:
        site: the audited app.
    """

    def __init__(self, site: AppSite) -> None:
        self._site, self._plan = site, site.plan
        self._states: list[Mapping[str, Tensor]] = []
        self._uploads: dict[int, Upload] = {}

    def received(self, sent: Mapping[str, Tensor], uploads: Sequence[Upload]) -> None:
        """Take note of a round's model and uploads."""
        self._states = [sent, *self._states][: EARLIER + 1]
        self._uploads = {upload.partition: upload for upload in uploads}

    def remarks(self, outcome: Outcome, scored: Scored) -> Iterator[str]:
        """Yield remarks on a victim that has been scored."""
        victim = outcome.victim
        partition, seen = victim.partition, victim.observation
        if partition is None or seen is None or victim.attacker != NAIVE:
            return
        yield from self._of_facts(partition, victim.server_round)
        if self._plan.defenses or scored.originals is None or partition not in self._uploads:
            return
        [(inputs, labels)] = self._site.different(partition, victim.server_round)
        if len(inputs) != seen.batch_size:
            yield (
                f"the truth has {len(inputs)} examples, and the audit assumes {seen.batch_size}: "
                "state batch_size, and local_steps or local_epochs, as the clients train"
            )
            return
        fit = scored.fit or victim.attack.truth_fit(outcome.model, seen, inputs, labels)
        if fit is None or fit.explained:
            return
        evidence = Evidence(
            victim.attack,
            outcome.model,
            seen,
            inputs,
            labels,
            self._uploads[partition].arrays,
            self._states[0],
            self._states[1:],
            partition,
            victim.server_round,
            self._site.scenario.num_clients,
            self._truth,
        )
        federation = self._site.scenario.federation
        yield explanation(evidence, lambda: replayed_misfits(evidence, federation))

    def _truth(self, partition: int, server_round: int) -> tuple[Tensor, Tensor] | None:
        """Return the private data of any client in any round, or None."""
        try:
            [found] = self._site.different(partition, server_round)
        except Exception:  # of the auditor's function, for a round or client that it may not have
            return None
        return found

    def _of_facts(self, partition: int, server_round: int) -> Iterator[str]:
        truth = self._plan.truth
        if isinstance(truth, KeptBatches) and partition in self._site.nodes:
            facts = truth.facts(self._site.nodes[partition], server_round)
            yield from differences(facts, self._site, partition, server_round)
