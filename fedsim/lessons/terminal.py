"""Lessons in a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markdown import Markdown
from rich.prompt import IntPrompt
from rich.rule import Rule
from rich.table import Table

from fedsim.lessons.course import Course, asked, lesson
from fedsim.lessons.facts import right_choice
from fedsim.lessons.pages import page
from fedsim.lessons.plan import Question, lessons, slug
from fedsim.log.folders import new_folder
from fedsim.log.run import Run
from fedsim.show.terminal.gallery import gallery
from fedsim.show.terminal.table import remarks, summary_table


def contents(console: Console) -> None:
    """Print a list of the lessons."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="Lessons", title_justify="left")
    table.add_column("", justify="right")
    table.add_column("lesson")
    table.add_column("time", justify="right", no_wrap=True)
    for number, each in lessons().items():
        table.add_row(str(number), each.title, f"{each.minutes} min")
    console.print(table)
    console.print("Start with: fedsim lesson 1")


def take(number: int, console: Console, *, ask: bool, out: Path | None = None) -> None:
    """Guide the user through a lesson.

    Args:
        number: number of the lesson.
        console: the console to print to.
        ask: whether to wait for answers; otherwise show the right ones.
        out: parent folder of its runs.
    """
    course = lesson(number)
    plan = course.plan
    console.print(Rule(f"Lesson {number}: {plan.title}"))
    console.print(Markdown(plan.introduction))
    console.print(Rule("Predict"))
    console.print(Markdown(asked(plan.prediction)))
    if ask:
        course.predict(_choice(plan.prediction, console))
    console.print(Rule(f"Run (about {plan.seconds} s)"))
    folder = out or new_folder(slug(number))
    ran = course.run(folder, live=True)
    for name, each in ran.items():
        console.print(Rule(name, align="left", style="dim"))
        if console.is_terminal and (shown := gallery(Run.read(each.folder))) is not None:
            console.print(shown)
        if each.summary.rows:
            console.print(summary_table(each.summary))
        else:
            accuracy = each.accuracy[max(each.accuracy)]
            console.print(
                f"no attack; {each.summary.accuracy_name} {accuracy:.1%}", highlight=False
            )
    for line in dict.fromkeys(str(r) for each in ran.values() for r in remarks(each.summary)):
        console.print(line, style="dim", markup=False, highlight=False)
    console.print(Rule("What happened"))
    console.print(Markdown(course.outcome().markdown))
    right = sum(_asked(course, i, console, ask) for i in range(1, len(plan.questions) + 1))
    console.print(Rule("Conclusion"))
    console.print(Markdown(plan.conclusion))
    if ask:
        console.print(f"\n{right} of {len(plan.questions)} right.")
    console.print(f"\nSee more: fedsim report {folder} --open", soft_wrap=True)
    if number + 1 in lessons():
        console.print(f"Continue: fedsim lesson {number + 1}")


def write_page(number: int, path: Path, out: Path | None = None) -> Path:
    """Run a lesson and write the page for teachers.

    Args:
        number: number of the lesson.
        path: the file to write.
        out: parent folder of its runs.
    """
    ran = lesson(number).run(out or new_folder(slug(number)), live=True)
    path.write_text(page(number, ran), "utf-8")
    return path


def _asked(course: Course, number: int, console: Console, ask: bool) -> bool:
    """Ask a question and return whether the answer was right."""
    question = course.plan.questions[number - 1]
    console.print(Rule(f"Question {number}"))
    console.print(Markdown(asked(question)))
    assert course.ran is not None  # noqa: S101 - it has just been run
    right = right_choice(question, course.ran.summaries)
    choice = _choice(question, console) if ask else right
    told = course.answer(number, choice).markdown
    console.print(Markdown(told if ask else told.removeprefix("**Right.** ")))
    return choice == right


def _choice(question: Question, console: Console) -> int:
    numbers = [str(i) for i in range(1, len(question.choices) + 1)]
    return IntPrompt.ask("Your answer", choices=numbers, console=console)
