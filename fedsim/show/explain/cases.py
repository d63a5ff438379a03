"""Facts of a run from which causes of failure are derived."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fedsim.core.local_steps import reuses
from fedsim.log.run import Run
from fedsim.log.schema import (
    ADAPTIVE,
    CONTROL,
    Attacker,
    Doubt,
    LeakageRecord,
    ManipulationRecord,
    Meaning,
    ModelTraits,
    ReconstructionRecord,
    SumRecord,
    UploadRecord,
)
from fedsim.log.score import worst_fit

BEST = "best"
CLOSED_FORMS = ("dense", "april", "spear", "rgap")
"""Attacks that `best` tries first."""

MORE = {"evaluations": 5, "trials": 4}
"""Factors by which advice raises the effort of an attack."""


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
        has_adaptive: whether an adaptive attacker attacked the same group.
        things: noun for the private examples, plural.
        isolating: name of the change to the model by which a malicious server isolates single
            examples; None if it sent no such change.
    """

    group: str
    attacker: Attacker
    scenario: Mapping[str, Any]
    model: ModelTraits
    uploads: Sequence[UploadRecord | SumRecord]
    reconstructions: Sequence[ReconstructionRecord]
    leakage: Sequence[LeakageRecord]
    curves: Sequence[Sequence[float]]
    has_adaptive: bool
    things: str
    isolating: str | None = None

    @property
    def is_control(self) -> bool:
        """Whether this is the positive control."""
        return self.group == CONTROL

    @property
    def leaked(self) -> int:
        """Number of recognisable examples."""
        return sum(record.score.meaning is Meaning.LEAKED for record in self.leakage)

    @property
    def partly(self) -> int:
        """Number of examples that leaked in part."""
        return sum(record.score.meaning is Meaning.PARTLY for record in self.leakage)

    @property
    def count(self) -> str:
        """Count of recognisable examples and of partial leaks, as a phrase."""
        partly = f", {self.partly} partly" if self.partly else ""
        return f"{self.leaked} of {len(self.leakage)} leaked{partly}"

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
        """Largest number of local steps of a client; 1 for the control."""
        if self.is_control:
            return 1
        epochs = self.federation.get("local_epochs")
        if epochs is None:
            return int(self.federation.get("local_steps", 1))
        size = int(self.federation.get("batch_size", 1))
        return int(epochs) * max(1, -(-self.batch_size // size))

    @property
    def steps_key(self) -> str:
        """Key of the scenario that sets the number of local steps."""
        return "local_steps" if self.federation.get("local_epochs") is None else "local_epochs"

    @property
    def reuses(self) -> bool:
        """Whether local steps use examples again in an order that no adversary knows."""
        epochs, size = (
            self.federation.get("local_epochs"),
            int(self.federation.get("batch_size", 1)),
        )
        uses = self.local_steps * size if epochs is None else int(epochs) * self.batch_size
        return not self.is_control and reuses(uses, self.batch_size, size)

    @property
    def defenses(self) -> list[str]:
        """Names of the clients' defenses of the upload, without their checks of the model."""
        names = (d.name for u in self.uploads for d in u.defenses if not d.is_check)
        return list(dict.fromkeys(names))

    @cached_property
    def truth_misfit(self) -> float | None:
        """Median relative objective of the private data, or None if unknown."""
        found = (r.truth_objective for r in self.reconstructions)
        known = [v for v in found if v is not None]
        return statistics.median(known) if known else None

    @cached_property
    def explained(self) -> bool | None:
        """Whether the attacker's equations explain the upload by the private data.

        That of most victims; None if no attack has an objective, or in logs of earlier versions.
        """
        known = [r.explained for r in self.reconstructions if r.explained is not None]
        return 2 * sum(known) > len(known) if known else None

    @property
    def solvable(self) -> bool:
        """Whether a search for a better fit could have found the private data."""
        return self.explained is not False and self.truth_misfit is not None

    @cached_property
    def fits(self) -> bool:
        """Whether most reconstructions fit the upload as well as the private data do."""
        pairs = [
            (r.objective, max(worst_fit(r.truth_objective), r.rounding or 0))
            for r in self.reconstructions
            if r.objective is not None and r.truth_objective is not None
        ]
        return bool(pairs) and 2 * sum(found <= truth for found, truth in pairs) > len(pairs)

    @property
    def searched(self) -> bool:
        """Whether the results come from a search that ended by itself or by its time limit."""
        ends = ("exhausted", "stalled", "stopped", "clamped")
        ended = [r for r in self.reconstructions if r.status in ends and not r.cut]
        return bool(ended) and 2 * len(ended) >= len(self.reconstructions)

    def doubted(self, doubt: Doubt) -> float:
        """Return the share of the scores with a doubt."""
        return sum(doubt in r.score.doubts for r in self.leakage) / max(1, len(self.leakage))

    @property
    def plan(self) -> Mapping[str, Any]:
        """Table ``[adversary]`` of the scenario."""
        found: Mapping[str, Any] = self.scenario.get("adversary") or {}
        return found

    @property
    def attack(self) -> Mapping[str, Any]:
        """The attack with its parameters, as in the scenario."""
        found = self.plan.get("attack", {})
        return found if isinstance(found, Mapping) else {"name": found}

    def others(self, said: str, attacks: Sequence[str]) -> str:
        """Return a clause on attacks on pictures to try; else a full stop.

        Attacks that were used are left out, and so are the closed forms that `best` tries first.
        """
        used = {self.attack_name, *(CLOSED_FORMS if self.attack_name == BEST else ())}
        left = [name for name in attacks if name not in used] if self.of_pictures else []
        return said.format(", ".join(left)) if left else "."

    @property
    def attack_name(self) -> str:
        """Registered name of the attack, or an empty text."""
        return str(self.attack.get("name", ""))

    @property
    def of_pictures(self) -> bool:
        """Whether the private examples are pictures."""
        return self.things == "pictures"

    def more(self, *parameters: str) -> str:
        """Return a clause on raising those parameters that the attack has, else an empty text.

        Args:
            parameters: names of numbers, such as ``evaluations``.
        """
        found = [(name, self.attack[name]) for name in parameters if self.attack.get(name)]
        said = (f"--set adversary.attack.{name}={MORE[name] * int(now)}" for name, now in found)
        return " ".join(said)

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
    sent = run.of_kind(ManipulationRecord)
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
        any(r.who == group and r.attacker == ADAPTIVE for r in found),
        run.start.measure.things,
        next((m.manipulation.name for m in sent if m.expected is not None), None),
    )


def _curves(run: Run, reconstructions: Sequence[ReconstructionRecord]) -> Iterator[list[float]]:
    for record in reconstructions:
        arrays = run.arrays(record.tensors) if record.tensors and not record.film else None
        if arrays is not None and "objectives" in arrays:
            yield [float(v) for v in arrays["objectives"]]
