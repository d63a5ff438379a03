"""Sentences on the changes of a malicious server, and their results."""

from __future__ import annotations

from collections.abc import Sequence

from fedsim.log.schema import ManipulationRecord
from fedsim.log.summary import Summary
from fedsim.show.headline import counted

MOST_NAMED = 6


def malice_said(summary: Summary) -> list[str]:
    """Return sentences on the changed models of a run; none if the server was only curious."""
    return [_round_said(sent, summary) for sent in summary.manipulations]


def sent_said(sent: ManipulationRecord) -> str:
    """Return a sentence on a changed model and the clients that got it."""
    chosen = "".join(f", {name} {value:g}" for name, value in sent.constants.items() if value)
    return (
        f"Round {sent.round}: the server {sent.what} ({sent.manipulation.name}{chosen}) for "
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
        got = f"It got {recovered} of {things} at {measure.show(measure.recovered)} or more"
    promised = "" if sent.expected is None else f"; it had expected {sent.expected:.0%} of them"
    cost = (
        f"The changed model is right on {sent.accuracy:.1%} of the test data, the honest one on "
        f"{sent.honest_accuracy:.1%}, and uploads that answer it do not train the global model."
    )
    return f"{sent_said(sent)} {got}{promised}. {cost}"
