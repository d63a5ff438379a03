"""Lessons in a notebook: read, predict, run, inspect, answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedsim.api.runs import Run, run
from fedsim.core.errors import FedsimError, RunError
from fedsim.lessons.facts import explanation, right_choice
from fedsim.lessons.plan import Lesson, Question, load_lesson, slug
from fedsim.lessons.progress import Result
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
        tries: choices for each question that was answered, in order.
    """

    number: int
    plan: Lesson
    predicted: int | None = None
    ran: Ran | None = field(default=None, repr=False)
    tries: dict[int, list[int]] = field(default_factory=dict, repr=False)

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

        After a first wrong answer there is a hint instead of the reason, and a second try, if more
        than two choices leave one.

        Raises:
            FedsimError: there is no such question or choice, or the lesson has not been run.
        """
        question = self._question(number)
        right = right_choice(question, self._summaries) == checked(question, choice)
        settled = self.settled(number)
        if not settled:
            self.tries.setdefault(number, []).append(choice)
        if not right and not settled and not self.settled(number):
            return Text(f"**Not that one.** {question.hint} Try again.")
        return Text(f"{'**Right.**' if right else '**No.**'} {self._told(question)}")

    def settled(self, number: int) -> bool:
        """Return whether a question was answered right, or wrong as often as is allowed."""
        question = self._question(number)
        tries = self.tries.get(number, [])
        allowed = 2 if len(question.choices) > 2 else 1
        return len(tries) >= allowed or self._right(number) in tries

    def hint(self, number: int) -> Text:
        """Return the hint for a question."""
        return Text(self._question(number).hint)

    def solutions(self) -> Text:
        """Return the right choice of each question, with the reason.

        Raises:
            FedsimError: the lesson has not been run.
        """
        told = (f"**{i}.** {self._told(q)}" for i, q in enumerate(self.plan.questions, start=1))
        return Text("\n\n".join(told))

    @property
    def result(self) -> Result:
        """Number of questions that were answered, and of those that were answered right."""
        settled = [n for n in self.tries if self.settled(n)]
        right = [n for n in settled if self._right(n) == self.tries[n][-1]]
        return Result(
            right=len(right),
            second=sum(len(self.tries[n]) > 1 for n in right),
            answered=len(settled),
            of=len(self.plan.questions),
        )

    def conclusion(self) -> Text:
        """Return the conclusion of the lesson."""
        return Text(self.plan.conclusion)

    def _right(self, number: int) -> int:
        return right_choice(self._question(number), self._summaries)

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
