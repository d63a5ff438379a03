"""The right answer is that of the runs."""

import pytest

from fedsim.core.errors import RunError
from fedsim.lessons.facts import explanation, right_choice
from fedsim.lessons.plan import Question
from fedsim.log.summary import summarise
from tests.fedsim.runs import accuracy, leakage, reconstruction, started, upload

SUMMARIES = {
    "first": summarise(
        [
            started(),
            upload(0, "open"),
            *(reconstruction(f"r{i}") for i in range(4)),
            leakage("r0", "open"),
            leakage("r1", "open", meaning="protected", psnr=21.0, label_found=4),
            leakage("r2", "shut", meaning="protected", psnr=7.0),
            leakage("r3", "shut", psnr=30.0, attacker="adaptive"),
            accuracy(0, 0.1),
            accuracy(1, 0.6),
        ]
    ),
    "second": summarise([started(), accuracy(0, 0.1), accuracy(1, 0.25)]),
}


def question(since: list[float] | None = None, **fact: object) -> Question:
    decided = {"fact": fact, "since": since or [0, 0.5]} if fact else {"right": 2}
    return Question.model_validate(
        {"question": "?", "choices": ["low", "high"], "why": "it is {fact}", **decided}
    )


@pytest.mark.parametrize(
    ("fact", "since", "right", "said"),
    [
        ({"what": "leaked"}, [0, 0.5], 2, "50%"),
        ({"what": "leaked"}, [0, 0.51], 1, "50%"),
        ({"what": "leaked", "clients": "shut"}, [0, 0.01], 1, "0%"),
        ({"what": "leaked", "clients": "shut", "attacker": "adaptive"}, [0, 1], 2, "100%"),
        ({"what": "score"}, [0, 31], 2, "31.0"),
        ({"what": "above blind"}, [-9, 20], 2, "20.0"),
        ({"what": "above blind", "clients": "shut"}, [-9, 0], 1, "-4.0"),
        ({"what": "labels"}, [0, 0.5], 2, "50%"),
        ({"what": "kilobytes"}, [0, 53.7], 2, "53.7 kB"),
        ({"what": "accuracy"}, [0, 0.6], 2, "60%"),
        ({"what": "accuracy", "run": "second"}, [0, 0.6], 1, "25%"),
        (
            {"what": "accuracy", "less": {"what": "accuracy", "run": "second"}},
            [0, 0.35],
            2,
            "35 percentage points",
        ),
    ],
)
def test_decided_by_the_runs(
    fact: dict[str, object], since: list[float], right: int, said: str
) -> None:
    asked = question(since, **fact)
    assert right_choice(asked, SUMMARIES) == right
    assert explanation(asked, SUMMARIES) == f"it is {said}"


def test_decided_beforehand() -> None:
    assert right_choice(question(), {}) == 2
    assert explanation(question(), {}) == "it is {fact}"


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        ({"what": "leaked", "run": "third"}, "the runs are first, second"),
        ({"what": "leaked", "clients": "nobody"}, "nobody have no figure for 'leaked'"),
        ({"what": "epsilon"}, "no figure for 'epsilon'"),
        ({"what": "score", "run": "second"}, "no figure for 'score'"),
    ],
)
def test_figures_that_there_are_not(fact: dict[str, object], expected: str) -> None:
    with pytest.raises(RunError, match=expected):
        right_choice(question(**fact), SUMMARIES)
