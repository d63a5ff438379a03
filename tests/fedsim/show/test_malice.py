"""A run says in one place what a malicious server changed, for whom, and what it got."""

import pytest
from rich.console import Console

from fedsim.log.schema import Component
from fedsim.log.summary import summarise
from fedsim.modalities.pictures.measure import PSNR
from fedsim.modalities.texts.measure import TOKENS
from fedsim.show.malice import MaliceTally, _least, malice_said
from fedsim.show.terminal.table import remarks
from fedsim.show.threat import threat_said
from tests.fedsim.log.samples import MANIPULATION
from tests.fedsim.runs import leakage, started, upload

RECORDS = [
    started(),
    MANIPULATION,
    upload(0, "a"),
    upload(1, "b"),
    leakage("r0001-c0000-naive", "a", partition=0, psnr=41.0),
    leakage("r0001-c0000-naive", "a", partition=0, psnr=12.0, example=1),
    leakage("r0001-c0001-naive", "b", partition=1, psnr=41.0),
]


def test_one_sentence_each_for_change_gain_and_cost() -> None:
    [said] = malice_said(summarise(RECORDS))
    assert said == (
        "Round 1: the server set the weights of 'dense1' so that few examples activate a row "
        "(trap-weights, scale 0.85) for client 0. It got 1 of 2 pictures at 30 dB or more; it had "
        "expected 47% of them. Nobody noticed: none of these clients has a check. The changed "
        "model has a test accuracy of 9.0%, the honest one of 15.8%, and uploads that answer it "
        "do not train the global model."
    )
    console = Console(width=1000)
    with console.capture() as shown:
        console.print(*remarks(summarise(RECORDS)), sep="\n")
    assert said in shown.get()


def test_a_curious_server_changed_nothing() -> None:
    assert malice_said(summarise([r for r in RECORDS if r is not MANIPULATION])) == []


def test_the_threat_model_names_the_manipulation() -> None:
    plan = {"attack": "dense-rows", "adaptive": False, "malicious": {"name": "trap-weights"}}
    model, untried = threat_said(
        {"adversary": plan, "federation": {"rounds": 1}}, summarise(RECORDS)
    )
    assert "manipulation of the model: among F to H" in model
    assert "other manipulations of the model, or a selection of clients (F to H)" in untried


@pytest.mark.parametrize(
    ("letter", "said"),
    [
        ("F", "manipulation of the model without surrogate data: F in the letters of"),
        ("G", "surrogate data, and manipulation of the model: G in the letters of"),
        ("H", "surrogate data, and selection of the clients: H in the letters of"),
    ],
)
def test_the_threat_model_has_the_letter_of_the_manipulation(letter: str, said: str) -> None:
    plan = {"attack": "dense-rows", "adaptive": False, "malicious": {"name": "trap-weights"}}
    records = [r.model_copy(update={"letter": letter}) if r is MANIPULATION else r for r in RECORDS]
    model, untried = threat_said(
        {"adversary": plan, "federation": {"rounds": 1}}, summarise(records)
    )
    assert said in model
    assert ("selection of clients" in untried) is (letter != "H")


def test_a_view_in_progress_tells_what_it_got_so_far_and_who_noticed() -> None:
    tally = MaliceTally()
    for record in RECORDS[:3]:
        tally.add(record, PSNR)
    assert tally.lines(PSNR) == [
        "Round 1: the server set the weights of 'dense1' so that few examples activate a row "
        "(trap-weights, scale 0.85) for client 0.",
        "got 0 of 0 pictures so far; noticed: by nobody",
    ]
    tally.add(upload(0, "a", noticed=("weight-statistics",)), PSNR)
    tally.add(upload(1, "b", noticed=("dead-units",)), PSNR)  # received the honest model
    for record in RECORDS[3:]:
        tally.add(record, PSNR)
    assert tally.lines(PSNR)[1] == (
        "got 1 of 2 pictures so far; noticed: client 0 by weight-statistics, warned only"
    )
    assert MaliceTally().lines(PSNR) == []


def test_nobody_noticed_says_whether_anybody_looked() -> None:
    check = {"name": "dead-units", "action": "warn"}
    records = [r if i != 2 else upload(0, "a", defenses=(check,)) for i, r in enumerate(RECORDS)]
    [said] = [line for line in malice_said(summarise(records)) if "noticed" in line]
    assert "Nobody noticed. The" in said


def test_it_says_who_noticed_and_counts_false_alarms() -> None:
    refused = {"problem": "refused by weight-statistics: ...", "refused": True}
    records = [
        started(),
        MANIPULATION,
        upload(0, "a", noticed=("weight-statistics",), **refused),
        upload(1, "b", did={"0.weight-statistics.flagged": 0.0}),
        upload(1, "b", round=2, noticed=("dead-units",)),
    ]
    first, alarms = malice_said(summarise(records))
    assert "Noticed: client 0 by weight-statistics, refused." in first
    assert alarms == "False alarms: 1 in 2 checks of honest models (round 2, client 1)."


def test_a_leak_that_a_check_finds_in_an_honest_model_is_no_false_alarm() -> None:
    leak = upload(1, "b", round=2, noticed=("single-example-dominance",))
    finding = Component(name="single-example-dominance", check=True, accuses=False)
    leak = leak.model_copy(update={"defenses": (finding,)})
    alarms, leaks = malice_said(summarise([started(), leak]))
    assert alarms == "False alarms: 0 in 1 check of honest models."
    assert leaks == (
        "True leaks: 1 honest model in which single-example-dominance found that the client's own "
        "gradient gives examples away, whoever sent the model (round 2, client 1)."
    )


def test_texts_are_counted_by_their_tokens() -> None:
    assert _least(TOKENS) == "100% of the tokens"
    assert _least(PSNR) == "30 dB or more"
