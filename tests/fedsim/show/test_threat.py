"""The threat model has a letter, and a run says what was not tried."""

from typing import Any

import pytest

from fedsim.log.schema import Component, LogRecord
from fedsim.log.summary import Summary, summarise
from fedsim.show.threat import threat_said
from tests.fedsim.runs import leakage, reconstruction, started, upload

NOISE = [{"name": "gaussian-noise", "std": 0.1}]


def summary(*more: LogRecord) -> Summary:
    return summarise([started(), upload(0, "a", defenses=NOISE), leakage("v", "a"), *more])


def scenario(*, adaptive: bool = False, rounds: int = 1, **attack: Any) -> dict[str, Any]:
    plan = {"attack": {"name": "idlg", **attack}, "adaptive": adaptive}
    return {"adversary": plan, "federation": {"rounds": rounds}}


def test_the_letter_is_that_of_what_the_attack_knew() -> None:
    assert "without manipulation: D in the letters of" in threat_said(scenario(), summary())[0]
    read = reconstruction("v", group="a", statistics="uploaded")
    assert "without manipulation: E in the letters of" in threat_said(scenario(), summary(read))[0]
    unused = reconstruction("v", group="a", statistics="none")
    assert ": D in" in threat_said(scenario(), summary(unused))[0]


@pytest.mark.parametrize(
    ("plan", "more", "said"),
    [
        (scenario(), [], "knows the defenses of a (adversary.adaptive = true)"),
        (scenario(adaptive=True), [], "knows the defenses of a, since fedsim has none"),
        (scenario(trials=1), [], "more than one random start"),
        (scenario(rounds=2), [], "the uploads of several rounds together"),
        (scenario(), [], "attacks other than idlg"),
        (scenario(), [], "manipulates the model or selects the clients (F to H)"),
    ],
)
def test_what_was_not_tried_is_named(
    plan: dict[str, Any], more: list[LogRecord], said: str
) -> None:
    assert said in threat_said(plan, summary(*more))[1]


def test_what_was_tried_is_not_named() -> None:
    told = threat_said(
        scenario(adaptive=True, trials=4), summary(leakage("v", "a", attacker="adaptive"))
    )
    assert "knows the defenses" not in told[1]
    assert "random start" not in told[1]
    assert "several rounds" not in told[1]
    together = summary(leakage("w", "a", attacker="over-rounds"))
    assert "several rounds" not in threat_said(scenario(rounds=2), together)[1]


def test_checks_of_the_received_model_are_no_defenses_of_the_upload() -> None:
    """Nobody need know them: an attacker of their client's upload ignores nothing."""

    def told(*defenses: Component) -> str:
        sent = upload(0, "a").model_copy(update={"defenses": defenses})
        return threat_said(scenario(), summarise([started(), sent, leakage("v", "a")]))[1]

    check = Component(name="weight-statistics", parameters={"action": "warn"}, check=True)
    assert "knows the defenses" not in told(check)
    assert "knows the defenses of a" in told(check, Component(name="fp16"))


def test_without_an_attack_there_is_no_threat_model() -> None:
    assert threat_said({}, summary()) == []
    assert threat_said(scenario(), summarise([started()])) == []


def test_attacks_on_texts_are_named() -> None:
    def told(*more: LogRecord, name: str) -> str:
        start = started(modality="texts", task="classify")
        found = summarise([start, upload(0, "a", defenses=NOISE), leakage("v", "a"), *more])
        return threat_said(scenario(name=name), found)[1]

    naive = reconstruction("v", group="a", attack="Dager")
    adaptive = reconstruction("w", group="a", attack="TokenSearch", attacker="adaptive")
    control = reconstruction("c", group=None, attack="TokenSearch", attacker="adaptive")
    assert "other than dager (on texts also token-search);" in told(naive, name="dager")
    assert "other than dager (on texts also token-search);" in told(naive, control, name="dager")
    assert "other than dager and token-search;" in told(naive, adaptive, name="dager")
    assert "other than lamp (on texts also dager and token-search);" in told(name="lamp")
