"""Sentences on the changes of a malicious server, and their results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fedsim.core.measures import Measure
from fedsim.log.malice import false_alarms, true_leaks
from fedsim.log.schema import LeakageRecord, LogRecord, ManipulationRecord, UploadRecord
from fedsim.log.summary import Summary
from fedsim.show.headline import counted

MOST_NAMED = 6


def malice_said(summary: Summary) -> list[str]:
    """Return sentences on the changed models of a run, and on the clients' checks.

    None if the server was only curious and no client has a check.
    """
    lines = [_round_said(sent, summary) for sent in summary.manipulations]
    alarms = false_alarms(summary)
    if summary.checked:
        lines.append(
            f"False alarms: {len(alarms)} in {counted(summary.checked, 'check')} of honest models"
            + (f" ({_named(alarms)})." if alarms else ".")
        )
    if leaks := true_leaks(summary):
        checks = " and ".join(sorted({name for _, _, name in summary.leaks}))
        lines.append(
            f"True leaks: {counted(len(leaks), 'honest model')} in which {checks} found that the "
            f"client's own gradient gives examples away, whoever sent the model ({_named(leaks)})."
        )
    return lines


def _named(rounds: Sequence[tuple[int, int]]) -> str:
    """Return rounds and clients, the first few of them."""
    return "; ".join(f"round {r}, client {c}" for r, c in rounds[:MOST_NAMED])


def sent_said(sent: ManipulationRecord) -> str:
    """Return a sentence on a changed model and the clients that got it."""
    chosen = "".join(f", {name} {value:g}" for name, value in sent.constants.items() if value)
    whom = "for" if sent.expected is not None else "to read"
    return (
        f"Round {sent.round}: the server {sent.what} ({sent.manipulation.name}{chosen}) {whom} "
        f"{clients_named(sent.partitions)}."
    )


def clients_named(partitions: Sequence[int]) -> str:
    """Return clients as ``clients 0, 1 and 3``, or their number if they are many."""
    if len(partitions) > MOST_NAMED:
        return counted(len(partitions), "client")
    *rest, last = map(str, partitions)
    return f"clients {', '.join(rest)} and {last}" if rest else f"client {last}"


def _round_said(sent: ManipulationRecord, summary: Summary) -> str:
    recovered, asked = summary.taken.get(sent.round, (0, 0))
    measure = summary.measure
    things = counted(asked, measure.thing, measure.things)
    got = "It got nothing"
    if asked:
        got = f"It got {recovered} of {things} at {_least(measure)}"
    of = measure.told_of or " of them"
    promised = "" if sent.expected is None else f"; it had expected {sent.expected:.0%}{of}"
    cost = "It changed no model, and the round does not train the global one."
    if sent.tensors:
        cost = (
            f"The changed model has a {summary.accuracy_name} of {sent.accuracy:.1%}, the honest "
            f"one of {sent.honest_accuracy:.1%}, and uploads that answer it do not train the "
            "global model."
        )
    return f"{sent_said(sent)} {got}{promised}. {_noticed_said(sent, summary)} {cost}"


def _least(measure: Measure) -> str:
    """Return the figure from which an example counts as recovered, as a phrase."""
    shown = measure.show(measure.recovered)
    return f"{shown}{measure.told_of}" if shown == "100%" else f"{shown} or more"


def _noticed_said(sent: ManipulationRecord, summary: Summary) -> str:
    """Return a sentence on the clients that noticed a changed model."""
    said = clients_noticed(
        (client, name, refused)
        for server_round, client, name, refused in summary.noticed
        if server_round == sent.round and client in (*sent.partitions, *sent.others)
    )
    if said:
        return f"Noticed: {said}."
    served = {(sent.round, client) for client in (*sent.partitions, *sent.others)}
    if served & summary.checking:
        return "Nobody noticed."
    return "Nobody noticed: none of these clients has a check."


def clients_noticed(found: Iterable[tuple[int, str, bool]]) -> str:
    """Return who noticed a malicious server, as a phrase; empty if nobody did.

    Args:
        found: client, name of its check, and whether it refused the round.
    """
    groups: dict[tuple[str, bool], list[int]] = {}
    for client, name, refused in found:
        groups.setdefault((name, refused), []).append(client)
    return "; ".join(
        f"{clients_named(sorted(clients))} by {name}, {'refused' if refused else 'warned only'}"
        for (name, refused), clients in groups.items()
    )


@dataclass
class MaliceTally:
    """Result so far of the last change by a malicious server, for a view of a run in progress."""

    sent: ManipulationRecord | None = None
    _noticed: list[tuple[int, str, bool]] = field(default_factory=list)
    _best: dict[tuple[int | None, int], float] = field(default_factory=dict)

    def add(self, record: LogRecord, measure: Measure) -> None:
        """Count a record of the run."""
        if isinstance(record, ManipulationRecord):
            self.sent, self._noticed, self._best = record, [], {}
        if self.sent is None:
            return
        served = (None, *self.sent.partitions, *self.sent.others)
        if isinstance(record, UploadRecord | LeakageRecord) and (
            record.round != self.sent.round or record.partition not in served
        ):
            return
        if isinstance(record, UploadRecord):
            self._noticed += [(record.partition, name, record.refused) for name in record.noticed]
        if isinstance(record, LeakageRecord) and not record.is_control:
            key, figure = (record.partition, record.score.example), record.score.figure(measure)
            self._best[key] = max(
                self._best.get(key, -math.inf), -math.inf if figure is None else figure
            )

    def lines(self, measure: Measure) -> list[str]:
        """Return the change, its gain so far, and who noticed; an empty list without a change."""
        if self.sent is None:
            return []
        got = sum(figure >= measure.recovered for figure in self._best.values())
        things = counted(len(self._best), measure.thing, measure.things)
        noticed = clients_noticed(self._noticed)
        return [
            sent_said(self.sent),
            f"got {got} of {things} so far; noticed: {noticed or 'by nobody'}",
        ]
