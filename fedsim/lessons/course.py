"""Lessons in a notebook: read, predict, run, inspect, answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedsim.api.runs import Run, run
from fedsim.core.errors import FedsimError, RunError
from fedsim.lessons.facts import explanation, right_choice
from fedsim.lessons.plan import Lesson, Question, load_lesson, slug
from fedsim.log.folders import new_folder
from fedsim.log.summary import Summary


@dataclass(frozen=True)
class Text:
    """Markdown text that notebooks render."""

    markdown: str

    def __repr__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown


@dataclass(frozen=True)
class Ran(Mapping[str, Run]):
    """The runs of a lesson, by name."""

    runs: Mapping[str, Run]

    def __getitem__(self, name: str) -> Run:
        return self.runs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def summaries(self) -> dict[str, Summary]:
        """Summary of each run."""
        return {name: each.summary for name, each in self.runs.items()}

    def __repr__(self) -> str:
        return "\n\n".join(f"{name}\n{each!r}" for name, each in self.runs.items())

    def _repr_html_(self) -> str:
        return "".join(each._repr_html_() for each in self.runs.values())


@dataclass
class Course:
    """A lesson in progress.

    Attributes:
        number: number of the lesson.
        plan: its texts, runs and questions.
        predicted: the predicted choice; None before the prediction.
        ran: its runs; None before they have been run.
    """

    number: int
    plan: Lesson
    predicted: int | None = None
    ran: Ran | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return self._repr_markdown_()

    def _repr_markdown_(self) -> str:
        prediction = asked(self.plan.prediction)
        return (
            f"# {self.number}. {self.plan.title}\n\n{self.plan.introduction}\n\n"
            f"**Predict.** {prediction}"
        )

    def predict(self, choice: int) -> Text:
        """Record a prediction: the number of a choice.

        Raises:
            FedsimError: there is no such choice.
        """
        self.predicted = checked(self.plan.prediction, choice)
        return Text(f"You predict: *{self.plan.prediction.choices[choice - 1]}*.")

    def run(self, out: Path | str | None = None, *, live: bool = False) -> Ran:
        """Run the lesson, each run in its own folder.

        Args:
            out: parent folder of the runs; a new folder in ``runs`` if None.
            live: whether to show the progress.
        """
        folder = new_folder(slug(self.number)) if out is None else Path(out)
        self.ran = Ran(
            {
                name: run(scenario, out=folder / str(position), live=live)
                for position, (name, scenario) in enumerate(self.plan.scenarios.items(), start=1)
            }
        )
        return self.ran

    def outcome(self) -> Text:
        """Return the prediction, the result, and hints for inspecting it.

        Raises:
            FedsimError: the lesson has not been run.
        """
        said = ""
        if self.predicted is not None:
            said = f"You predicted: *{self.plan.prediction.choices[self.predicted - 1]}*. "
        return Text(f"{said}{self._told(self.plan.prediction)}\n\n{self.plan.look}")

    def question(self, number: int) -> Text:
        """Return a question by its number, starting at 1."""
        return Text(f"**{number}.** {asked(self._question(number))}")

    def answer(self, number: int, choice: int) -> Text:
        """Return a statement on whether a choice is right, with the reason.

        Raises:
            FedsimError: there is no such question or choice, or the lesson has not been run.
        """
        question = self._question(number)
        right = right_choice(question, self._summaries)
        said = "**Right.**" if checked(question, choice) == right else "**No.**"
        return Text(f"{said} {self._told(question)}")

    def conclusion(self) -> Text:
        """Return the conclusion of the lesson."""
        return Text(self.plan.conclusion)

    def _told(self, question: Question) -> str:
        right = question.choices[right_choice(question, self._summaries) - 1]
        return f"It is: *{right}*. {explanation(question, self._summaries)}"

    def _question(self, number: int) -> Question:
        questions = self.plan.questions
        if not 1 <= number <= len(questions):
            raise FedsimError(f"no question {number}: expected 1 to {len(questions)}")
        return questions[number - 1]

    @property
    def _summaries(self) -> dict[str, Summary]:
        if self.ran is None:
            raise RunError("the lesson has not been run yet: call run() first")
        return self.ran.summaries


def lesson(number: int) -> Course:
    """Open a lesson: read it, `predict`, `run`, inspect the `outcome`, `answer`.

    Raises:
        ScenarioError: there is no such lesson.
    """
    return Course(number, load_lesson(number))


def asked(question: Question) -> str:
    """Return a question with its numbered choices, in Markdown."""
    choices = "\n".join(f"{i}. {c}" for i, c in enumerate(question.choices, start=1))
    return f"{question.question}\n\n{choices}"


def checked(question: Question, choice: int) -> int:
    """Return a choice after checking it.

    Raises:
        FedsimError: there is no such choice.
    """
    if not 1 <= choice <= len(question.choices):
        last = len(question.choices)
        raise FedsimError(f"no choice {choice}: expected a number from 1 to {last}")
    return choice
