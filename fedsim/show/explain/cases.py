"""Facts of a run from which causes of failure are derived."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fedsim.core.measures import FIT_FLOOR
from fedsim.log.run import Run
from fedsim.log.schema import (
    CONTROL,
    Attacker,
    LeakageRecord,
    Meaning,
    ModelTraits,
    ReconstructionRecord,
    SumRecord,
    UploadRecord,
)


@dataclass(frozen=True)
class Case:
    """Records of one attacker against one group of clients.

    Attributes:
        group: the clients, or the positive control.
        attacker: naive or adaptive.
        scenario: the resolved scenario, as tables.
        model: model properties that matter to gradient inversion.
        uploads: records of the group's uploads.
        reconstructions: records of the attacks.
        leakage: records of the scores.
        curves: the attacks' objectives over their snapshots, if the log has them.
    """

    group: str
    attacker: Attacker
    scenario: Mapping[str, Any]
    model: ModelTraits
    uploads: Sequence[UploadRecord | SumRecord]
    reconstructions: Sequence[ReconstructionRecord]
    leakage: Sequence[LeakageRecord]
    curves: Sequence[Sequence[float]]

    @property
    def is_control(self) -> bool:
        """Whether this is the positive control."""
        return self.group == CONTROL

    @property
    def leaked(self) -> int:
        """Number of recognisable examples."""
        return sum(record.score.meaning is Meaning.LEAKED for record in self.leakage)

    @property
    def all_leaked(self) -> bool:
        """Whether all examples leaked, so that there is nothing to explain."""
        return bool(self.leakage) and self.leaked == len(self.leakage)

    @property
    def federation(self) -> Mapping[str, Any]:
        """Table ``[federation]`` of the scenario."""
        found: Mapping[str, Any] = self.scenario.get("federation", {})
        return found

    @property
    def local_steps(self) -> int:
        """Number of local steps of a client; 1 for the control."""
        return 1 if self.is_control else int(self.federation.get("local_steps", 1))

    @property
    def defenses(self) -> list[str]:
        """Names of the clients' defenses."""
        names = (d.name for record in self.uploads for d in record.defenses)
        return list(dict.fromkeys(names))

    @cached_property
    def truth_misfit(self) -> float | None:
        """Median relative objective of the private data, or None if unknown."""
        found = (r.truth_objective for r in self.reconstructions)
        known = [v for v in found if v is not None]
        return statistics.median(known) if known else None

    @property
    def exact(self) -> bool:
        """Whether the private data fit the attacked upload, so that a search could find them."""
        return self.truth_misfit is not None and self.truth_misfit <= FIT_FLOOR

    @cached_property
    def misfit(self) -> float | None:
        """Median relative objective of the reconstructions: 1 for zeros, 0 for a perfect match."""
        known = [r.objective for r in self.reconstructions if r.objective is not None]
        return statistics.median(known) if known else None

    @cached_property
    def batches(self) -> list[list[LeakageRecord]]:
        """Scores of each victim's batch."""
        victims: dict[str, list[LeakageRecord]] = {}
        for record in self.leakage:
            victims.setdefault(record.victim, []).append(record)
        return list(victims.values())

    @property
    def batch_size(self) -> int:
        """Number of private examples behind an upload, or behind a sum of several."""
        return max((len(batch) for batch in self.batches), default=0)

    @property
    def wrong_labels(self) -> float:
        """Share of the victims with labels that were not found, in any order."""
        told = [b for b in self.batches if all(r.score.label_found is not None for r in b)]
        if not told:
            return 0.0
        wrong = sum(
            Counter(r.score.label for r in b) != Counter(r.score.label_found for r in b)
            for b in told
        )
        return wrong / len(told)

    @property
    def repeated_labels(self) -> float:
        """Share of the victims with two examples of the same label."""
        told = [b for b in self.batches if all(r.score.label is not None for r in b)]
        repeated = sum(max(Counter(r.score.label for r in b).values()) > 1 for b in told)
        return repeated / len(told) if told else 0.0

    @property
    def fall(self) -> float | None:
        """Median factor by which the objective fell over the second half of the evaluations.

        None if nothing was optimised, or the log does not have it.
        """
        falls = [c[-1] and c[(len(c) - 1) // 2] / c[-1] for c in self.curves if len(c) > 2]
        known = [f for f in falls if math.isfinite(f)]
        return statistics.median(known) if known else None


def cases(run: Run) -> list[Case]:
    """Return the cases of a run in the order of their groups, the control last."""
    keys = dict.fromkeys((r.who, r.attacker) for r in run.of_kind(ReconstructionRecord))
    found = [_case(run, group, attacker) for group, attacker in keys]
    return sorted(found, key=lambda case: case.is_control)


def _case(run: Run, group: str, attacker: Attacker) -> Case:
    found = run.of_kind(ReconstructionRecord)
    reconstructions = [r for r in found if (r.who, r.attacker) == (group, attacker)]
    uploads: Sequence[UploadRecord | SumRecord]
    uploads = [*run.of_kind(UploadRecord), *run.of_kind(SumRecord)]
    return Case(
        group,
        attacker,
        run.scenario,
        run.start.model,
        [r for r in uploads if r.group == group],
        reconstructions,
        [r for r in run.of_kind(LeakageRecord) if (r.who, r.attacker) == (group, attacker)],
        list(_curves(run, reconstructions)),
    )


def _curves(run: Run, reconstructions: Sequence[ReconstructionRecord]) -> Iterator[list[float]]:
    for record in reconstructions:
        arrays = run.arrays(record.tensors) if record.tensors else None
        if arrays is not None and "objectives" in arrays:
            yield [float(v) for v in arrays["objectives"]]
