"""Definition of a lesson: a TOML file with a scenario, texts, and questions on the results."""

from __future__ import annotations

import tomllib
from functools import cached_property
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from fedsim.core.errors import ScenarioError
from fedsim.core.names import NAIVE, Attacker
from fedsim.scenario import Scenario, Section, Shown, explain, override

What = Literal["leaked", "score", "above blind", "labels", "accuracy", "kilobytes", "epsilon"]

_HERE = files("fedsim.lessons").joinpath("texts")


class Fact(Section):
    """A measured figure of a run, which decides an answer.

    Attributes:
        what: ``leaked``, the share of recognisable reconstructions; ``score``, the median score,
            and ``above blind``, its difference to the best blind guess, in dB or percentage points;
            ``labels``, the share of the labels that were found; ``accuracy`` of the last round;
            ``kilobytes`` of an upload; ``epsilon``, the largest that a client has spent.
        run: the run's name; the first if None.
        clients: the group of clients; the first if None.
        attacker: naive or adaptive.
        less: a fact to subtract.
    """

    what: What
    run: str | None = None
    clients: str | None = None
    attacker: Attacker = NAIVE
    less: Fact | None = None


class Question(Section):
    """A question with choices, one of which is right.

    Attributes:
        question: the question, in Markdown.
        choices: at least two.
        right: number of the right choice, starting at 1, if it does not depend on a run.
        fact: otherwise, the fact that decides.
        since: minimum fact for which each choice is right, in ascending order.
        hint: help after a first wrong answer, in Markdown; a prediction has none.
        why: the reason, in Markdown; ``{fact}`` is replaced by the fact.
    """

    question: str
    choices: Annotated[list[str], Field(min_length=2, max_length=6)]
    right: int | None = None
    fact: Fact | None = None
    since: list[float] | None = None
    hint: str = ""
    why: str

    @model_validator(mode="after")
    def _decided(self) -> Question:
        if (self.right is None) is (self.fact is None):
            raise ValueError("expected either right, the number of a choice, or fact")
        if self.right is not None and not 1 <= self.right <= len(self.choices):
            raise ValueError(f"right: expected a number from 1 to {len(self.choices)}")
        if self.fact is not None:
            since = self.since or []
            if len(since) != len(self.choices) or sorted(since) != since:
                raise ValueError(
                    f"since: expected {len(self.choices)} numbers, one for each choice, rising"
                )
        return self


class Part(Section):
    """A run of a lesson.

    Attributes:
        name: name of the run in the lesson.
        set: changes to the lesson's scenario, by dotted key.
    """

    name: Shown
    set: dict[str, Any] = Field(default_factory=dict)


class Lesson(Section):
    """A lesson: its texts, its runs and its questions.

    Attributes:
        title: one line.
        minutes: duration including reading and thinking.
        seconds: duration of its runs on two cores.
        aims: learning objectives; for teachers.
        introduction: text before the prediction, in Markdown.
        prediction: question before the run.
        look: hints for inspecting the results, in Markdown.
        questions: questions on the results.
        conclusion: summary, in Markdown.
        hints: likely problems in class and points to discuss; for teachers, in Markdown.
        scenario: scenario of all runs, as tables.
        runs: at least one.
    """

    title: Shown
    minutes: Annotated[int, Field(gt=0)]
    seconds: Annotated[int, Field(gt=0)]
    aims: Annotated[list[str], Field(min_length=1)]
    introduction: str
    prediction: Question
    look: str
    questions: Annotated[list[Question], Field(min_length=1)]
    conclusion: str
    hints: str
    scenario: dict[str, Any]
    runs: Annotated[list[Part], Field(min_length=1)]

    @cached_property
    def scenarios(self) -> dict[str, Scenario]:
        """Scenario of each run, by the run's name.

        Raises:
            ScenarioError: a scenario is not valid.
        """
        return {part.name: self._scenario(part) for part in self.runs}

    def _scenario(self, part: Part) -> Scenario:
        import copy  # noqa: PLC0415

        raw = copy.deepcopy({"title": f"{self.title}: {part.name}", **self.scenario})
        for key, value in part.set.items():
            override(raw, (key, value))
        try:
            return Scenario.model_validate(raw)
        except ValidationError as error:
            raise ScenarioError("\n".join(explain(error, f"{self.title}: {part.name}"))) from None


def load_lesson(number: int) -> Lesson:
    """Return a lesson by its number, starting at 1.

    Raises:
        ScenarioError: there is no such lesson.
    """
    found = _files()
    if number not in found:
        raise ScenarioError(f"no lesson {number}: expected a number from 1 to {max(found)}")
    text = _HERE.joinpath(found[number]).read_text("utf-8")
    try:
        return Lesson.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ScenarioError("\n".join(explain(error, found[number]))) from None


def lessons() -> dict[int, Lesson]:
    """Return all lessons by number."""
    return {number: load_lesson(number) for number in sorted(_files())}


def slug(number: int) -> str:
    """Return the base name of a lesson's files.

    Raises:
        ScenarioError: there is no such lesson.
    """
    load_lesson(number)
    return _files()[number].removesuffix(".toml")


def _files() -> dict[int, str]:
    names = (file.name for file in _HERE.iterdir())
    return {int(n.split("-")[0]): n for n in names if n.endswith(".toml")}
