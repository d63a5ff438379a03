"""What a run's records come to: one row for each client group and attacker.

Reads records alone, so it works on a run that is going on, finished, or dead, without torch.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fedsim.core.measures import PSNR, TASKS, Measure, measure_of
from fedsim.log.files import Record

LEAKED = "leaked"
PARTLY = "partly leaked"
PROTECTED = "protected"
ATTACK_FAILED = "attack failed"
UNSCORED = "unscored"
CONTROL = "positive control"
SUM = "sum of the uploads"
NO_DEFENSE = "none"


@dataclass(frozen=True)
class Row:
    """Leakage of one client group under one attacker, over all rounds.

    Attributes:
        group: the client group, or the positive control.
        defense: what the group's clients do to their uploads, in words.
        attacker: naive or adaptive.
        images: private examples (images or texts) that were attacked.
        meanings: how many of them have each meaning.
        measure: what the scores are.
        scores: of those that could be scored.
        baseline: the best blind guess for each of those.
        labels_right: share of the labels that the attack assigned which are right; None if it
            assigned none.
        upload_bytes: mean size of the group's uploads.
        epsilon: the most that one of its clients has spent of differential privacy; None if
            nothing is guaranteed.
    """

    group: str
    defense: str
    attacker: str
    images: int
    meanings: dict[str, int]
    measure: Measure
    scores: list[float]
    baseline: list[float]
    labels_right: float | None
    upload_bytes: float | None
    epsilon: float | None = None

    def count(self, meaning: str) -> int:
        """Return how many examples have a meaning."""
        return self.meanings.get(meaning, 0)


@dataclass(frozen=True)
class Summary:
    """A run in short.

    Attributes:
        rows: in the order in which the groups first appear; the control last.
        accuracy: of the global model on test data, by round.
        accuracy_name: what that is called.
        problems: uploads that could not be used: round, client, why.
        lost: rounds of a secure aggregation that came to no sum: round, why.
        failures: attacks that yielded nothing: victim, why.
        approximate: whether several local steps, or batches of several clients that are not
            one batch, were taken for one by the attack.
        random_label: share of labels that a random guess has right, the labels' blind baseline.
        status: finished, interrupted or failed; None while the run goes on or if it died.
        error: why a run failed.
        seconds: how long it took.
    """

    rows: list[Row]
    accuracy: dict[int, float]
    accuracy_name: str = TASKS["classify"]
    problems: list[tuple[int, int, str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    lost: list[tuple[int, str]] = field(default_factory=list)
    approximate: bool = False
    random_label: float | None = None
    status: str | None = None
    error: str | None = None
    seconds: float | None = None

    @property
    def measure(self) -> Measure:
        """What the rows' scores are."""
        return self.rows[0].measure if self.rows else PSNR

    @property
    def control(self) -> Row | None:
        """The positive control's row, if there was an attack."""
        return next((r for r in self.rows if r.group == CONTROL), None)

    @property
    def control_failed(self) -> bool:
        """Whether some positive control was not rebuilt."""
        return self.control is not None and self.control.count(LEAKED) < self.control.images


def summarise(records: Iterable[Record]) -> Summary:
    """Return the summary of a run's records."""
    records = list(records)
    kinds: dict[str, list[Record]] = {}
    for record in records:
        kinds.setdefault(record["kind"], []).append(record)
    uploads, found = kinds.get("upload", []), kinds.get("reconstruction", [])
    sums = kinds.get("sum", [])
    start = kinds["run"][0] if "run" in kinds else {}
    end = kinds["end"][-1] if "end" in kinds else {}
    return Summary(
        rows=_rows(kinds.get("leakage", []), [*uploads, *sums]),
        accuracy={r["round"]: r["accuracy"] for r in kinds.get("round", [])},
        # Logs of versions that knew no other task do not name it.
        accuracy_name=TASKS[start.get("task", "classify")],
        problems=[(u["round"], u["partition"], u["problem"]) for u in uploads if u["problem"]],
        lost=[(s["round"], s["problem"]) for s in sums if s["problem"]],
        failures=[(r["victim"], r["error"]) for r in found if r["error"]],
        approximate=any(r["approximate"] for r in found),
        random_label=start.get("random_label"),
        status=end.get("status"),
        error=end.get("error"),
        seconds=end.get("seconds"),
    )


def _rows(leakage: Sequence[Record], uploads: Sequence[Record]) -> list[Row]:
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in leakage:
        groups.setdefault((record["group"] or CONTROL, record["attacker"]), []).append(record)
    order = {u["group"]: i for i, u in reversed(list(enumerate(uploads)))}
    keys = sorted(groups, key=lambda k: (order.get(k[0], len(uploads)), k[1] != "naive"))
    return [_row(group, attacker, groups[group, attacker], uploads) for group, attacker in keys]


def _row(group: str, attacker: str, images: Sequence[Record], uploads: Sequence[Record]) -> Row:
    measure = measure_of(images[0])
    scored = [r for r in images if measure.of(r) is not None]
    meanings: dict[str, int] = {}
    for record in images:
        meanings[record["meaning"]] = meanings.get(record["meaning"], 0) + 1
    own = [u for u in uploads if u["group"] == group]
    sizes = [u["bytes"] for u in own if u["bytes"] is not None]
    right = [r["label"] == r["label_found"] for r in scored if r["label_found"] is not None]
    return Row(
        group=group,
        defense=_in_words(own[0]["defenses"]) if own else NO_DEFENSE,
        attacker=attacker,
        images=len(images),
        meanings=meanings,
        measure=measure,
        scores=[r[measure.key] for r in scored],
        baseline=[measure.blind(r) for r in scored],
        labels_right=sum(right) / len(right) if right else None,
        upload_bytes=statistics.fmean(sizes) if sizes else None,
        epsilon=_epsilon(own),
    )


def _epsilon(uploads: Sequence[Record]) -> float | None:
    # Absent from logs of versions that did not account for it.
    spent = [u.get("privacy") for u in uploads if not u["problem"]]
    epsilons = [s["epsilon"] for s in spent if s is not None]
    return max(epsilons) if epsilons and len(epsilons) == len(spent) else None


def _in_words(defenses: Sequence[Record]) -> str:
    """Return a chain of defenses as ``gaussian-noise std=0.01, fp16``."""
    chain = []
    for defense in defenses:
        parameters = (f"{k}={v:g}" for k, v in defense.items() if isinstance(v, int | float))
        chain.append(" ".join([defense["name"], *parameters]))
    return ", ".join(chain) or NO_DEFENSE
