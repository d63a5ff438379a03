"""Threat model of a run in the letters of the field, and what was not tried."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from fedsim.core.names import OVER_ROUNDS
from fedsim.log.schema import ADAPTIVE, CONTROL
from fedsim.log.summary import Summary

_SOURCE = (
    "Carletti et al. (SoK: Gradient Inversion Attacks in Federated Learning, USENIX Security 2025)"
)

_MALICIOUS = {
    "F": "uploads, basic knowledge and training details, and manipulation of the model without "
    "surrogate data",
    "G": "uploads, basic knowledge, training details and surrogate data, and manipulation of the "
    "model",
    "H": "uploads, basic knowledge, training details and surrogate data, and selection of the "
    "clients",
}
"""Threat models of malicious servers, by their letters."""

_ON_TEXTS, _TOKENS = ("dager", "token-search"), "token_accuracy"
"""The strongest attacks on texts, and the measure of texts."""


def threat_said(scenario: Mapping[str, Any], summary: Summary) -> list[str]:
    """Return sentences on the threat model and on what was not tried; none without an attack."""
    if scenario.get("adversary") is None or not summary.rows:
        return []
    untried = "; ".join(not_tried(scenario, summary))
    malicious = bool(scenario["adversary"].get("malicious"))  # absent from older scenarios
    return [
        f"Threat model: {threat_model(summary, malicious=malicious)}",
        f"Not tried: {untried}.",
    ]


def threat_model(summary: Summary, *, malicious: bool = False) -> str:
    """Return the threat model as a sentence, with its letter."""
    knows = "uploads, basic knowledge, training details and surrogate data"
    letters = {sent.letter for sent in summary.manipulations}
    if len(letters) == 1 and (letter := letters.pop()) in _MALICIOUS:
        return f"{_MALICIOUS[letter]}: {letter} in the letters of {_SOURCE}."
    if malicious:  # an older log, or no round was attacked yet
        return f"{knows}, and manipulation of the model: among F to H in the letters of {_SOURCE}."
    if summary.statistics & {"uploaded", "running"}:
        return (
            f"{knows}, and statistics of the clients' data (BatchNorm), without manipulation: E in "
            f"the letters of {_SOURCE}."
        )
    return f"{knows}, without manipulation: D in the letters of {_SOURCE}."


def not_tried(scenario: Mapping[str, Any], summary: Summary) -> list[str]:
    """Return the untried powers of a stronger adversary, in phrases."""
    plan, federation = scenario["adversary"], scenario["federation"]
    attack = plan["attack"]
    name = attack["name"] if isinstance(attack, Mapping) else attack
    found = [_other_attacks({name, *summary.attacks}, summary.measure.key)]
    if isinstance(attack, Mapping) and attack.get("trials") == 1:
        found.append("more than one random start")
    found += _unanswered(summary, adaptive=bool(plan["adaptive"]))
    if federation["rounds"] > 1 and all(row.attacker != OVER_ROUNDS for row in summary.rows):
        found.append("the uploads of several rounds together")
    if plan.get("malicious"):
        selects = any(sent.letter == "H" for sent in summary.manipulations)
        further = "" if selects else ", or a selection of clients"
        return [*found, f"other manipulations of the model{further} (F to H)"]
    return [*found, "a server that manipulates the model or selects the clients (F to H)"]


def _other_attacks(tried: Set[str], measure: str) -> str:
    """Return a phrase on the attacks that were not tried, with the strongest ones on texts."""
    untried = [name for name in _ON_TEXTS if name not in tried and measure == _TOKENS]
    such = f" (on texts also {' and '.join(untried)})" if untried else ""
    return f"attacks other than {' and '.join(sorted(tried))}{such}"


def _unanswered(summary: Summary, *, adaptive: bool) -> list[str]:
    """Return the attackers who know the defenses and were not tried."""
    answered = {row.group for row in summary.rows if row.attacker == ADAPTIVE}
    naive = [
        row.group for row in summary.rows if row.group not in {CONTROL, *answered} and row.defended
    ]
    if not naive:
        return []
    groups = ", ".join(dict.fromkeys(naive))
    if adaptive:
        return [f"an attacker who knows the defenses of {groups}, since fedsim has none"]
    return [f"an attacker who knows the defenses of {groups} (adversary.adaptive = true)"]
