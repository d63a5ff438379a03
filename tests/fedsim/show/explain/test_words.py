"""Causes and remedies from constructed records: none advises what the run has done already."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from fedsim.core.modality import PICTURES, TEXTS, suits
from fedsim.core.registry import ATTACKS
from fedsim.log.schema import ADAPTIVE, CONTROL, NAIVE, Doubt, ModelTraits
from fedsim.show.explain.cases import Case
from fedsim.show.explain.causes import CAUSES
from fedsim.show.explain.explanation import Explanation, unknown
from fedsim.show.explain.finding import Finding
from fedsim.show.explain.terminal import show
from tests.fedsim.runs import leakage, reconstruction, upload

NOISE = [{"name": "gaussian-noise", "std": 0.1}]
FOUND = {"objective": 1e-2, "truth_objective": 1e-2, "rounding": 1e-12, "status": "exhausted"}


def case(
    *,
    attacker: str = NAIVE,
    defenses: Sequence[dict[str, Any]] = (),
    scenario: dict[str, Any] | None = None,
    doubts: Sequence[Doubt] = (),
    has_adaptive: bool = False,
    curves: Sequence[Sequence[float]] = (),
    things: str = "pictures",
    **found: Any,
) -> Case:
    return Case(
        group="a",
        attacker=attacker,
        scenario=scenario or {},
        model=ModelTraits(parameters=100, batch_statistics=0, piecewise_linear=0),
        uploads=[upload(0, "a", defenses=defenses)],
        reconstructions=[reconstruction("v", group="a", attacker=attacker, **(FOUND | found))],
        leakage=[leakage("v", "a", psnr=9.0, meaning="attack failed", doubts=doubts)],
        curves=curves,
        has_adaptive=has_adaptive,
        things=things,
    )


def findings(one: Case) -> dict[str, Finding]:
    found = (cause(one, None) for cause in CAUSES)
    return {f.cause: f for f in found if f is not None}


@pytest.mark.parametrize(
    ("meaning", "count", "said"),
    [
        ("attack failed", "0 of 1 leaked", "was not reconstructed either"),
        ("partly leaked", "0 of 1 leaked, 1 partly", "was reconstructed in part only"),
    ],
)
def test_what_leaked_in_part_is_counted(meaning: str, count: str, said: str) -> None:
    score = leakage("v", CONTROL, psnr=9.0, meaning=meaning)
    control = replace(case(), group=CONTROL, leakage=[score])
    console = Console(width=200, record=True, file=StringIO())
    show([Explanation(control, [Finding("a cause", 1.0, "evidence", "advice")])], console)
    text = console.export_text()
    assert f"{control.group}, naive: {count}\n" in text
    assert said in text


def test_one_of_two_controls_that_failed_is_named() -> None:
    missed = replace(case(attacker=ADAPTIVE), group=CONTROL)
    found = replace(case(), group=CONTROL, leakage=[leakage("v", CONTROL)])
    console = Console(width=200, record=True, file=StringIO())
    finding = Finding("a cause", 1.0, "evidence", "advice")
    show([Explanation(found, []), Explanation(missed, [finding])], console)
    assert "The adaptive attacker's positive control, an undefended" in console.export_text()


def test_a_fit_is_compared_with_that_of_the_truth_and_its_rounding() -> None:
    assert case(objective=1e-2, truth_objective=1e-2).fits
    assert not case(objective=1e-9, truth_objective=1e-14).fits
    assert case(objective=1e-9, truth_objective=1e-14, rounding=2e-9).fits
    assert not case(objective=None).fits


def test_an_adaptive_attacker_with_wrong_equations_is_named() -> None:
    [name, *_] = findings(case(attacker=ADAPTIVE, defenses=NOISE, explained=False))
    assert name == "the attacker's equations are wrong"
    right = findings(case(attacker=ADAPTIVE, defenses=NOISE, explained=True))
    assert name not in right
    assert "the upload is defended" in right


@pytest.mark.parametrize(
    ("adaptive", "has_adaptive", "advised"),
    [(False, False, True), (True, True, False), (True, False, False)],
)
def test_an_adaptive_attacker_is_advised_only_where_there_was_none(
    adaptive: bool, has_adaptive: bool, advised: bool
) -> None:
    one = case(
        defenses=NOISE,
        explained=False,
        scenario={"adversary": {"adaptive": adaptive, "attack": {"name": "idlg"}}},
        has_adaptive=has_adaptive,
    )
    found = findings(one)
    assert ("adaptive = true" in found["the upload is defended"].advice) is advised
    unknown = "no adaptive attacker is known for pictures under gaussian-noise"
    assert (unknown in found) is (adaptive and not has_adaptive)


def test_texts_under_an_unknown_defense_have_no_adaptive_attacker() -> None:
    one = case(
        defenses=[{"name": "blur"}], explained=False, doubts=[Doubt.UNANSWERED], things="texts"
    )
    found = findings(one)
    assert "no adaptive attacker is known for texts under blur" in found
    assert "adaptive = true" not in "".join(f.advice for f in found.values())


def test_an_objective_that_is_still_falling_needs_more_evaluations() -> None:
    doubted = findings(case(explained=True, objective=1.0, doubts=[Doubt.STILL_FALLING]))
    assert "too few evaluations" in doubted
    fell = findings(case(explained=True, objective=1.0, curves=[[10.0, 5.0, 1.0]]))
    assert "by a factor of 5.0" in fell["too few evaluations"].evidence
    assert "too few evaluations" not in findings(case(explained=True, objective=1.0))


def test_unrolling_is_advised_only_to_an_attack_that_averages() -> None:
    def advice(attack: dict[str, Any]) -> str:
        scenario = {"federation": {"local_steps": 3}, "adversary": {"attack": attack}}
        found = findings(case(scenario=scenario, approximate=True, explained=False))
        return found["too many local steps"].advice

    assert "unroll" in advice({"name": "idlg", "local_steps": "average"})
    assert "unroll" not in advice({"name": "idlg", "local_steps": "unroll"})
    assert "unroll" not in advice({"name": "dense"})


@pytest.mark.parametrize(
    ("federation", "surrogate", "reused"),
    [
        ({"local_steps": 3}, False, False),
        ({"local_steps": 5}, True, True),
        ({"local_steps": 30, "batch_size": 4}, True, False),
        ({"local_steps": 5, "batch_size": 4}, False, False),
        ({"local_epochs": 2}, True, True),
        ({"local_epochs": 2, "batch_size": 4}, False, False),
    ],
)
def test_long_trainings_say_what_the_default_attack_did(
    monkeypatch: pytest.MonkeyPatch, federation: dict[str, Any], surrogate: bool, reused: bool
) -> None:
    monkeypatch.setattr(Case, "batch_size", 4)
    attack = {"name": "best", "local_steps": "unroll", "most_unrolled": 20}
    scenario = {"federation": {"batch_size": 1, **federation}, "adversary": {"attack": attack}}
    one = case(scenario=scenario, approximate=True, explained=False)
    evidence = findings(one)["too many local steps"].evidence
    assert ("between the received and the sent weights" in evidence) is surrogate
    assert ("not known" in evidence) is reused


def test_passes_with_dummies_of_their_own_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Case, "batch_size", 4)
    federation = {"batch_size": 1, "local_epochs": 2}
    attack = {"name": "best", "local_steps": "unroll", "most_unrolled": 20, "reused": "agree"}
    scenario = {"federation": federation, "adversary": {"attack": attack}}
    found = findings(case(scenario=scenario, approximate=True, explained=False))
    cause = found["too many local steps"]
    assert "agree up to their order" in cause.evidence
    assert "let the attack unroll" not in cause.advice


def test_the_attack_in_use_is_not_advised() -> None:
    def advice(attack: dict[str, Any]) -> str:
        one = case(explained=True, scenario={"adversary": {"attack": attack}})
        return findings(one)["other data fit as well"].advice

    plain = advice({"name": "idlg", "precision": "float32"})
    assert "float64" in plain
    assert "inverting-gradients" in plain
    assert advice({"name": "inverting-gradients", "precision": "float64"}) == "Use more trials."


def test_older_logs_have_no_test_of_the_equations() -> None:
    assert case().explained is None
    assert case(attacker=ADAPTIVE, defenses=NOISE).solvable


SUITABLE = {
    things: {n for n in ATTACKS.names() if suits(ATTACKS.get(n).modalities, things)}
    for things in (PICTURES, TEXTS)
}
OUTCOMES = [
    {"status": "exhausted"},
    {"status": "stalled"},
    {"status": "stopped"},
    {"status": "stopped", "cut": True},
    {"status": "computed", "objective": 0.5},
    {"status": "failed", "objective": None, "truth_objective": None, "error": "no bias"},
    {"status": "exhausted", "objective": 0.5, "explained": True},
    {"status": "exhausted", "objective": 0.5, "explained": False},
    {"status": "stalled", "objective": 0.5, "explained": True, "approximate": True},
]


def outcomes(attack: str, things: str) -> Iterator[Case]:
    """Yield cases of an attack, as it is by default, that did not leak."""
    parameters = {
        k: v for k in ("evaluations", "trials", "step_size", "precision")
        if isinstance(v := getattr(ATTACKS.get(attack)(), k, None), int | float | str)
    }  # fmt: skip
    plan = {"attack": {"name": attack, **parameters}, "adaptive": True, "time_limit_s": 600.0}
    federations = [{}, {"local_steps": 3}, {"local_epochs": 2, "batch_size": 1}, {}]
    rising, falling = [1.0, 2.0, 3.0, 4.0, 5.0], [9.0, 5.0, 2.0, 1.0, 0.1]
    settings = list(zip(federations, ((), (rising,), (falling,), (falling,)), strict=True))
    for found in OUTCOMES:
        for attacker in (NAIVE, ADAPTIVE):
            for defenses in ((), NOISE):
                for federation, curve in settings:
                    yield case(
                        attacker=attacker,
                        defenses=defenses,
                        scenario={"adversary": plan, "federation": federation},
                        has_adaptive=attacker == ADAPTIVE,
                        curves=curve,
                        things=things,
                        **found,
                    )


@pytest.mark.parametrize(
    ("attack", "things"), [(a, things) for things, own in SUITABLE.items() for a in sorted(own)]
)
def test_advice_can_be_followed_and_is_not_so_already(attack: str, things: str) -> None:
    """Of every unclear outcome: only other attacks that suit, and parameters that there are."""
    suitable = SUITABLE[things]
    for one in outcomes(attack, things):
        found = list(findings(one).values()) or [unknown(one)]
        for finding in found:
            said = finding.advice
            named = {n for n in ATTACKS.names() if re.search(rf"(?<![\w-]){n}(?![\w-])", said)}
            assert named <= suitable - {attack}, (finding.cause, said)
            for parameter in re.findall(r"adversary\.attack\.(\w+)=", said):
                assert parameter in one.attack, (finding.cause, said)
            assert "adversary.adaptive" not in said
            assert said.strip()
            assert not said.endswith((": ", ", ", "; "))
            if "local_epochs" in one.federation:
                assert "fewer local_steps" not in said


def test_a_search_that_ended_early_gets_more_effort() -> None:
    plan = {"attack": {"name": "idlg", "evaluations": 600, "trials": 2}}
    control = case(scenario={"adversary": plan}, objective=1e-2, truth_objective=1e-12)
    found = findings(replace(control, group=CONTROL))
    advice = found["the search ended early"].advice
    assert "--set adversary.attack.evaluations=3000 --set adversary.attack.trials=8" in advice
    limited = case(scenario={"adversary": plan}, objective=1.0, status="stopped")
    assert "time_limit_s=3000" in findings(limited)["the search ended early"].advice
    cut = case(scenario={"adversary": plan}, objective=1.0, status="stopped", cut=True)
    [first, *_] = findings(cut).values()
    assert first.cause == "the run was broken off"
    assert "fedsim run --resume" in first.advice


def test_a_defended_upload_without_figures_is_said_in_whole_sentences() -> None:
    unknown_fit = case(defenses=NOISE, has_adaptive=True, truth_objective=None, objective=None)
    said = findings(unknown_fit)["the upload is defended"]
    assert said.evidence == "The clients apply gaussian-noise."
    known = findings(case(defenses=NOISE, explained=None))["the upload is defended"].evidence
    assert "fit the upload to 0.01, while there is no control to compare with." in known
