"""Description of a run in plain English."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedsim.log.schema import NO_DEFENSE, Meaning, VictimRecord
from fedsim.show.headline import counted


@dataclass(frozen=True)
class Badge:
    """Sign of a meaning in a report.

    Attributes:
        css: its class in the style sheet.
        sign: symbol in addition to its colour, for readers who cannot distinguish colours.
        explained: explanation in one sentence.
    """

    css: str
    sign: str
    explained: str


MEANINGS = {
    Meaning.LEAKED: Badge("leaked", "●", "the reconstruction is recognisable"),
    Meaning.PARTLY: Badge(
        "partly", "◐", "the reconstruction shows more than a blind guess, but is not clear"
    ),
    Meaning.ATTACK_FAILED: Badge(
        "failed",
        "▲",
        "no more than a guess, and no evidence for a defense: a better attack may find the private "
        "data. That is not protection",
    ),
    Meaning.UNSCORED: Badge("unscored", "?", "there is no reconstruction to score"),
    Meaning.NOT_COMPARED: Badge(
        "failed",
        "□",
        "unscored: the private example is unknown to the run, so nothing can be said about its "
        "reconstruction. That is not protection",
    ),
    Meaning.NOTHING: Badge(
        "unscored", "–", "the private example holds nothing that a reader could see or understand"
    ),
    Meaning.PROTECTED: Badge(
        "protected",
        "○",
        "no more than a guess, although the attacker's equations explain the upload, the "
        "reconstruction fits it as well as the truth and the positive control was reconstructed",
    ),
}


def who(record: VictimRecord) -> str:
    """Return the owner of a victim's data."""
    return record.who if record.partition is None else f"client {record.partition}"


def number(value: float) -> str:
    """Return a number in a short form."""
    return f"{value:.3g}"


def size(count: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def duration(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def moment(started: str) -> str:
    """Return a time of the run log, to the minute."""
    return started[:16].replace("T", " ")


def named(thing: Any) -> str:
    """Return a registered object with its parameters: ``dlg (evaluations 350, trials 1)``."""
    if not isinstance(thing, Mapping):
        return str(thing)
    given = ", ".join(f"{k} {_short(v)}" for k, v in thing.items() if k != "name")
    return f"{thing.get('name', '?')} ({given})" if given else str(thing.get("name", "?"))


def chain(defenses: Sequence[Any]) -> str:
    """Return a client's defenses in the order of application."""
    return ", then ".join(named(d) for d in defenses) or NO_DEFENSE


def listed(words: Iterable[str]) -> str:
    """Return words as ``a, b and c``."""
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def _training(federation: Mapping[str, Any]) -> str:
    epochs = federation.get("local_epochs")
    if epochs is None:
        steps = counted(federation["local_steps"], "local step")
    else:
        steps = f"{counted(epochs, 'pass', 'passes')} over its data"
    optimizer = federation.get("optimizer", {"name": "sgd"})
    set_ = {k: v for k, v in optimizer.items() if v}
    steps = steps if set_ == {"name": "sgd"} else f"{steps} of {named(set_)}"
    also = [*_also(federation)]
    return f"{steps} ({', '.join(also)})" if also else steps


def _also(federation: Mapping[str, Any]) -> Iterator[str]:
    """Return clauses on settings of local training that are not the default."""
    schedule = federation.get("schedule", {"name": "constant"})
    if schedule["name"] != "constant" or schedule.get("warmup"):
        yield f"schedule {named({k: v for k, v in schedule.items() if v})}"
    if federation.get("max_grad_norm") is not None:
        yield f"gradients clipped to the norm {number(federation['max_grad_norm'])}"
    if federation.get("proximal_mu"):
        yield f"FedProx's term with mu {number(federation['proximal_mu'])}"


def _loss(federation: Mapping[str, Any]) -> str:
    """Return a clause on the clients' loss, if it is not the plain cross-entropy."""
    loss = federation.get("loss", {"name": "cross-entropy"})  # absent from older scenarios
    set_ = {k: v for k, v in loss.items() if v}
    return "" if set_ == {"name": "cross-entropy"} else f", of the loss {named(set_)}"


def simulated(scenario: Mapping[str, Any], nouns: tuple[str, str]) -> list[str]:
    """Return a description of the simulation, in paragraphs.

    Args:
        scenario: the scenario as plain tables; empty if there is none.
        nouns: noun for one example, singular and plural.
    """
    if not scenario:
        return ["The run ended before it had written its scenario."]
    data, federation = scenario["data"], scenario["federation"]
    alone = sum(group["count"] for group in scenario["clients"]) == 1
    batch = counted(federation["batch_size"], *nouns)
    upload = f"the gradient of {batch}"
    if federation["upload"] == "update":
        upload = (
            f"how its weights changed in {_training(federation)} on "
            f"{batch} each, at the learning rate {number(federation['learning_rate'])}"
        )
    upload += _loss(federation)
    changes = federation.get("augmentations")  # absent from older scenarios
    if changes:
        upload += f", after random changes: {listed(named(c) for c in changes)}"
    share = federation["fraction"]
    all_of_them = "it" if alone else "each of them"
    some = all_of_them if share == 1 else f"{share:.0%} of them, drawn anew each time,"
    verb = "uploads" if share == 1 else "upload"
    paragraphs = [
        f"{_held(data, scenario['clients'])} {'It trains' if alone else 'Together they train'}"
        f" the model {named(scenario['model'])} in {counted(federation['rounds'], 'round')}.",
        f"In a round {some} {verb} {upload}. " + _aggregated(federation),
    ]
    plan = scenario.get("adversary")
    if plan is None:
        return [*paragraphs, "There was no attack: the scenario has no adversary."]
    return [*paragraphs, f"The server attacked with {_attack(plan['attack'])}, {_when(plan)}."]


def knew(scenario: Mapping[str, Any], nouns: tuple[str, str]) -> list[str]:
    """Return a description of the adversary's knowledge, in sentences."""
    plan = scenario.get("adversary")
    if plan is None:
        return []
    federation = scenario["federation"]
    seen = "each upload that it attacked, as it arrived"
    if _is_secure(federation):
        seen = "the sum of a round's uploads, but no single upload"
    lines = [
        f"It knew the global model that it had sent, and {seen}.",
        f"It knew what it had asked for: {listed(_asked(federation))}.",
        f"It had public {nouns[1]}: {_public(scenario)}.",
    ]
    if plan["adaptive"]:
        lines.append(
            "A client whose defense has a countermeasure was attacked twice: by a naive attacker "
            "who ignores the defense, and by an adaptive one who knows it and its parameters."
        )
    else:
        lines.append("It was naive: it did not know, or ignored, the clients' defenses.")
    if plan.get("rounds_together"):  # absent from older scenarios
        lines.append(
            "After the last attacked round it attacked all rounds so far together, for clients "
            "whose batch is all their data, with the same knowledge of their defenses."
        )
    if plan.get("malicious"):  # absent from older scenarios
        lines.append(
            f"It was malicious ({named(plan['malicious'])}): what it changed, what it got and who "
            "noticed stands at the top."
        )
    lines.append(
        f"It never saw a private {nouns[0]} or a label. The scores were computed after the attacks "
        "had ended, from the private data, where the run knows them."
    )
    return lines


def _asked(federation: Mapping[str, Any]) -> list[str]:
    """Return the settings of the local training that the server had sent."""
    told = ["batch size", "number of local steps", "learning rate"]
    usual = {"optimizer": "sgd", "loss": "cross-entropy", "schedule": "constant"}
    for key, name in usual.items():  # absent from older scenarios
        component = federation.get(key, {"name": name})
        set_apart = any(v for k, v in component.items() if k not in ("name", "over"))
        if component["name"] != name or set_apart:
            told.append("optimiser" if key == "optimizer" else key)
    told += ["norm for clipping"] if federation.get("max_grad_norm") else []
    return told + (["proximal term"] if federation.get("proximal_mu") else [])


def _held(data: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> str:
    """Return sentences on the clients of each data set."""
    held: dict[tuple[str, str], int] = {}
    for group in groups:
        own = {"dataset": data["dataset"], "partition": data["partition"], **_given(group)}
        key = named(own["dataset"]), named(own["partition"])
        held[key] = held.get(key, 0) + group["count"]
    if sum(held.values()) == 1:
        [(dataset, _)] = held
        return f"One client holds the data set {dataset}."
    return " ".join(
        f"{counted(clients, 'client')} {'holds a part' if clients == 1 else 'hold a part each'} of "
        f"the data set {dataset}, spread by {rule}."
        for (dataset, rule), clients in held.items()
    )


def _given(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data set and the partition of a group, if it has its own."""
    return {k: group[k] for k in ("dataset", "partition") if group.get(k)}


def _public(scenario: Mapping[str, Any]) -> str:
    """Return a description of the public data, which a data set can give itself."""
    dataset = scenario["data"]["dataset"]
    said = dataset.get("public") if isinstance(dataset, Mapping) else None
    return str(said or "the test split of the data set")


def _is_secure(federation: Mapping[str, Any]) -> bool:
    # Absent from scenarios of versions without other aggregations.
    return bool(federation.get("aggregation", {"name": "plain"})["name"] != "plain")


def _aggregated(federation: Mapping[str, Any]) -> str:
    if not _is_secure(federation):
        return "The server adds up the uploads and updates the model."
    return (
        f"They are aggregated by {named(federation['aggregation'])}, so that the server learns "
        "only their sum."
    )


def _attack(attack: Mapping[str, Any]) -> str:
    """Return an attack and its effort; its other parameters are in the scenario."""
    effort = {k: attack[k] for k in ("name", "evaluations", "trials") if k in attack}
    return named(effort)


def _when(plan: Mapping[str, Any]) -> str:
    if plan.get("rounds"):
        when = "in round " + listed(str(r) for r in plan["rounds"])
    else:
        when = "in every round" if plan["every"] == 1 else f"every {plan['every']} rounds"
    if plan.get("per_round") is not None:
        when += f", {counted(plan['per_round'], 'victim')} at most"
    if plan["victims"] != "all":
        when += ", of the clients " + listed(map(str, plan["victims"]))
    return when


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    return str(value)
