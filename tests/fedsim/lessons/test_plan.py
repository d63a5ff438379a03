"""What holds for every lesson, and what is refused in one."""

import tomllib
from importlib.resources import files
from typing import Any

import pytest
from pydantic import ValidationError

from fedsim.core.errors import ScenarioError
from fedsim.core.names import SUM
from fedsim.lessons import Lesson, lessons, load_lesson
from fedsim.lessons.plan import Fact, Question, slug

every_lesson = pytest.mark.parametrize("number", lessons())


def raw(number: int) -> dict[str, Any]:
    file = files("fedsim.lessons").joinpath("texts", f"{slug(number)}.toml")
    return tomllib.loads(file.read_text("utf-8"))


def questions(lesson: Lesson) -> list[Question]:
    return [lesson.prediction, *lesson.questions]


def test_there_are_nine_in_a_row() -> None:
    assert list(lessons()) == list(range(1, 10))


@every_lesson
def test_scenarios_are_valid(number: int) -> None:
    scenarios = load_lesson(number).scenarios
    assert len({s.title for s in scenarios.values()}) == len(load_lesson(number).runs)


@every_lesson
def test_facts_name_runs_and_clients_that_there_are(number: int) -> None:
    lesson = load_lesson(number)

    def check(fact: Fact | None) -> None:
        if fact is not None:
            scenario = lesson.scenarios[fact.run or lesson.runs[0].name]
            names = {group.name for group in scenario.clients} | {SUM}
            assert fact.clients is None or fact.clients in names
            assert fact.attacker == "naive" or scenario.adversary.adaptive
            check(fact.less)

    for question in questions(lesson):
        check(question.fact)
        assert ("{fact}" in question.why) == (question.fact is not None)


@every_lesson
def test_choices_differ(number: int) -> None:
    for question in questions(load_lesson(number)):
        assert len(set(question.choices)) == len(question.choices)


@every_lesson
def test_each_question_has_a_hint_that_does_not_tell_the_answer(number: int) -> None:
    for question in load_lesson(number).questions:
        assert question.hint
        assert not any(choice in question.hint for choice in question.choices)


def test_no_such_lesson() -> None:
    with pytest.raises(ScenarioError, match="no lesson 10: expected a number from 1 to 9"):
        load_lesson(10)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"right": None}, "expected either right"),
        ({"fact": {"what": "leaked"}}, "expected either right"),
        ({"right": 3}, "expected a number from 1 to 2"),
        ({"right": None, "fact": {"what": "leaked"}, "since": [0]}, "expected 2 numbers"),
        ({"right": None, "fact": {"what": "leaked"}, "since": [1, 0]}, "rising"),
        ({"choices": ["one"]}, "choices"),
        ({"wright": 1}, "did you mean 'right'"),
    ],
)
def test_bad_questions(changes: dict[str, Any], expected: str) -> None:
    question = {"question": "?", "choices": ["a", "b"], "right": 1, "why": "so"}
    with pytest.raises(ValidationError, match=expected):
        Question.model_validate(question | changes)


def test_a_bad_scenario_names_lesson_and_run() -> None:
    lesson = Lesson.model_validate(
        raw(1) | {"runs": [{"name": "wrong", "set": {"federation.rounds": 0}}]}
    )
    with pytest.raises(ScenarioError, match=r"What a gradient knows: wrong: federation\.rounds"):
        lesson.scenarios  # noqa: B018
