"""What a run was, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedsim.log.schema import NO_DEFENSE, Meaning, VictimRecord


@dataclass(frozen=True)
class Badge:
    """The sign of a meaning in a report.

    Attributes:
        css: its class in the style sheet.
        sign: stands beside its colour, for those who cannot tell that.
        explained: in a sentence.
    """

    css: str
    sign: str
    explained: str


MEANINGS = {
    Meaning.LEAKED: Badge("leaked", "●", "what was rebuilt is recognisable"),
    Meaning.PARTLY: Badge("partly", "◐", "it shows more than a blind guess, but is not clear"),
    Meaning.ATTACK_FAILED: Badge(
        "failed",
        "▲",
        "no more than a guess, but the private data fit the upload better than what was found: "
        "a better attack may find them. That is no protection",
    ),
    Meaning.UNSCORED: Badge("unscored", "?", "there is no reconstruction to score"),
    Meaning.PROTECTED: Badge(
        "protected", "○", "no more than a guess, although it fits the upload as well as the truth"
    ),
}

WORST_FIRST = tuple(MEANINGS)


def who(record: VictimRecord) -> str:
    """Return the owner of the data that a record is about."""
    return record.who if record.partition is None else f"client {record.partition}"


def number(value: float) -> str:
    """Return a number as short as it can be said."""
    return f"{value:.3g}"


def size(count: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def moment(started: str) -> str:
    """Return a time as the run log has it, to the minute."""
    return started[:16].replace("T", " ")


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Return a number of things."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def named(thing: Any) -> str:
    """Return a registered thing and its parameters: ``dlg (evaluations 350, trials 1)``."""
    if not isinstance(thing, Mapping):
        return str(thing)
    given = ", ".join(f"{k} {_short(v)}" for k, v in thing.items() if k != "name")
    return f"{thing.get('name', '?')} ({given})" if given else str(thing.get("name", "?"))


def chain(defenses: Sequence[Any]) -> str:
    """Return a client's defenses in the order in which they are applied."""
    return ", then ".join(named(d) for d in defenses) or NO_DEFENSE


def listed(words: Iterable[str]) -> str:
    """Return words as ``a, b and c``."""
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def simulated(scenario: Mapping[str, Any], nouns: tuple[str, str]) -> list[str]:
    """Return what was simulated, a paragraph for each thing.

    Args:
        scenario: as plain tables; empty if there is none.
        nouns: what one piece of the data is called, singular and plural.
    """
    if not scenario:
        return ["The run ended before it had written its scenario."]
    data, federation = scenario["data"], scenario["federation"]
    clients = sum(group["count"] for group in scenario["clients"])
    batch = counted(federation["batch_size"], *nouns)
    upload = f"the gradient of {batch}"
    if federation["upload"] == "update":
        upload = (
            f"how its weights changed in {counted(federation['local_steps'], 'local step')} on "
            f"{batch} each, at the learning rate {number(federation['learning_rate'])}"
        )
    share = federation["fraction"]
    some = "each of them" if share == 1 else f"{share:.0%} of them, drawn anew each time,"
    verb = "uploads" if share == 1 else "upload"
    paragraphs = [
        f"{counted(clients, 'client')} hold a part each of the data set "
        f"{named(data['dataset'])}, spread by {named(data['partition'])}. Together they train the "
        f"model {named(scenario['model'])} in {counted(federation['rounds'], 'round')}.",
        f"In a round {some} {verb} {upload}. " + _aggregated(federation),
    ]
    plan = scenario.get("adversary")
    if plan is None:
        return [*paragraphs, "Nobody attacked them: the scenario has no adversary."]
    return [*paragraphs, f"The server attacked with {_attack(plan['attack'])}, {_when(plan)}."]


def knew(scenario: Mapping[str, Any], nouns: tuple[str, str]) -> list[str]:
    """Return what the adversary knew, and what not, a sentence for each thing."""
    plan = scenario.get("adversary")
    if plan is None:
        return []
    federation = scenario["federation"]
    seen = "each upload that it attacked, as it arrived"
    if _is_secure(federation):
        seen = "the sum of a round's uploads, and of no client its own"
    told = ["batch size", "number of local steps", "learning rate"]
    lines = [
        f"It knew the global model that it had sent, and {seen}.",
        f"It knew what it had asked for: {listed(told)}.",
        f"It had public {nouns[1]}, the test split of the data set.",
    ]
    if plan["adaptive"]:
        lines.append(
            "A client whose defense has a known answer was attacked twice: by a naive attacker "
            "who ignores the defense, and by an adaptive one who knows it and its parameters."
        )
    else:
        lines.append("It was naive: it did not know, or ignored, the clients' defenses.")
    lines.append(
        f"It never saw a private {nouns[0]} or a label. The scores were computed after the attacks "
        "had ended, by somebody who can draw the private data again."
    )
    return lines


def _is_secure(federation: Mapping[str, Any]) -> bool:
    # Absent from the scenarios of versions that knew no other.
    return bool(federation.get("aggregation", {"name": "plain"})["name"] != "plain")


def _aggregated(federation: Mapping[str, Any]) -> str:
    if not _is_secure(federation):
        return "The server adds the uploads up and updates the model, as it should."
    return (
        f"They are aggregated by {named(federation['aggregation'])}, so that the server learns "
        "only their sum."
    )


def _attack(attack: Mapping[str, Any]) -> str:
    """Return an attack and its effort; the scenario holds the rest of its parameters."""
    effort = {k: attack[k] for k in ("name", "evaluations", "trials") if k in attack}
    return named(effort)


def _when(plan: Mapping[str, Any]) -> str:
    if plan.get("rounds"):
        when = "in round " + listed(str(r) for r in plan["rounds"])
    else:
        when = "in every round" if plan["every"] == 1 else f"every {plan['every']} rounds"
    if plan.get("per_round") is not None:
        when += f", {counted(plan['per_round'], 'victim')} at the most"
    if plan["victims"] != "all":
        when += ", of the clients " + listed(map(str, plan["victims"]))
    return when


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    return str(value)
