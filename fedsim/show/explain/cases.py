"""The facts of a run that causes are read off."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fedsim.log.files import Record
from fedsim.log.run import Run
from fedsim.log.summary import CONTROL, LEAKED

EXACT = 1e-6
"""Relative objective below which the private data fit an upload exactly (`fedsim.scoring`)."""


@dataclass(frozen=True)
class Case:
    """What one attacker came to against one group of clients.

    Attributes:
        group: the clients, or the positive control.
        attacker: naive or adaptive.
        scenario: the resolved scenario, as tables.
        model: what the run has noted of the model; empty if it is older.
        uploads: records of the group's uploads.
        reconstructions: records of the attacks.
        leakage: records of the scores.
        curves: the attacks' objectives over their snapshots, where the log has them.
    """

    group: str
    attacker: str
    scenario: Mapping[str, Any]
    model: Mapping[str, Any]
    uploads: Sequence[Record]
    reconstructions: Sequence[Record]
    leakage: Sequence[Record]
    curves: Sequence[Sequence[float]]

    @property
    def is_control(self) -> bool:
        """Whether this is the adversary's attack on a gradient of its own."""
        return self.group == CONTROL

    @property
    def leaked(self) -> int:
        """How many private examples are recognisable."""
        return sum(record["meaning"] == LEAKED for record in self.leakage)

    @property
    def all_leaked(self) -> bool:
        """Whether there is nothing to explain."""
        return bool(self.leakage) and self.leaked == len(self.leakage)

    @property
    def federation(self) -> Mapping[str, Any]:
        """The scenario's federation."""
        found: Mapping[str, Any] = self.scenario.get("federation", {})
        return found

    @property
    def local_steps(self) -> int:
        """How many local steps a client takes; the control is one."""
        return 1 if self.is_control else int(self.federation.get("local_steps", 1))

    @property
    def defenses(self) -> list[str]:
        """The names of what the clients do to their uploads."""
        names = (d["name"] for record in self.uploads for d in record["defenses"])
        return list(dict.fromkeys(names))

    @cached_property
    def truth_misfit(self) -> float | None:
        """Median relative objective of the private data themselves; None where it is unknown."""
        found = [r["truth_objective"] for r in self.reconstructions]
        known = [v for v in found if v is not None]
        return statistics.median(known) if known else None

    @property
    def exact(self) -> bool:
        """Whether the private data fit what was attacked, so that a search could find them."""
        return self.truth_misfit is not None and self.truth_misfit <= EXACT

    @cached_property
    def misfit(self) -> float | None:
        """Median relative objective of what was found: 1 is as good as nothing, 0 perfect."""
        found = [r["objective"] for r in self.reconstructions]
        known = [v for v in found if v is not None and math.isfinite(v)]
        return statistics.median(known) if known else None

    @cached_property
    def batches(self) -> list[list[Record]]:
        """The scores of each victim's batch."""
        victims: dict[str, list[Record]] = {}
        for record in self.leakage:
            victims.setdefault(record["victim"], []).append(record)
        return list(victims.values())

    @property
    def batch_size(self) -> int:
        """How many private examples are behind an upload, or behind a sum of several."""
        return max((len(batch) for batch in self.batches), default=0)

    @property
    def wrong_labels(self) -> float:
        """Share of the victims some of whose labels were not found, in whatever order."""
        told = [b for b in self.batches if all(r.get("label_found") is not None for r in b)]
        if not told:
            return 0.0
        wrong = sum(_count(b, "label") != _count(b, "label_found") for b in told)
        return wrong / len(told)

    @property
    def repeated_labels(self) -> float:
        """Share of the victims with two examples of one label."""
        told = [b for b in self.batches if all(r.get("label") is not None for r in b)]
        repeated = sum(max(_count(b, "label").values()) > 1 for b in told)
        return repeated / len(told) if told else 0.0

    @property
    def fall(self) -> float | None:
        """By which factor the objective fell over the later half of the evaluations, at the median.

        None if nothing was optimised, or the log does not hold it.
        """
        falls = [c[-1] and c[(len(c) - 1) // 2] / c[-1] for c in self.curves if len(c) > 2]
        known = [f for f in falls if math.isfinite(f)]
        return statistics.median(known) if known else None


def cases(run: Run) -> list[Case]:
    """Return the cases of a run: groups as they first appear, the control last."""
    keys = dict.fromkeys(_of(r) for r in run.of_kind("reconstruction"))
    found = [_case(run, group, attacker) for group, attacker in keys]
    return sorted(found, key=lambda case: case.is_control)


def _case(run: Run, group: str, attacker: str) -> Case:
    reconstructions = [r for r in run.of_kind("reconstruction") if _of(r) == (group, attacker)]
    return Case(
        group,
        attacker,
        run.scenario,
        run.start.get("model") or {},
        [r for r in (*run.of_kind("upload"), *run.of_kind("sum")) if r["group"] == group],
        reconstructions,
        [r for r in run.of_kind("leakage") if _of(r) == (group, attacker)],
        list(_curves(run, reconstructions)),
    )


def _of(record: Record) -> tuple[str, str]:
    return record["group"] or CONTROL, record["attacker"]


def _curves(run: Run, reconstructions: Sequence[Record]) -> Iterator[list[float]]:
    for record in reconstructions:
        arrays = run.arrays(record["tensors"]) if record["tensors"] else None
        if arrays is not None and "objectives" in arrays:
            yield [float(v) for v in arrays["objectives"]]


def _count(batch: Sequence[Record], key: str) -> Counter[int]:
    return Counter(record[key] for record in batch)
