"""Lessons in a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markdown import Markdown
from rich.prompt import Prompt
from rich.rule import Rule
from rich.table import Table

from fedsim.lessons.course import Course, Ran, asked, lesson
from fedsim.lessons.facts import right_choice
from fedsim.lessons.pages import page
from fedsim.lessons.plan import Question, lessons, slug
from fedsim.lessons.progress import PROGRESS, keep, results
from fedsim.log.folders import new_folder
from fedsim.log.run import Run
from fedsim.show.terminal.gallery import gallery
from fedsim.show.terminal.table import remarks, summary_table

HINT = "h"
LEAVE = "q"
SHOWN = 6
"""Maximum number of victims below a run, if it has no more groups than that."""


def contents(console: Console, progress: Path = PROGRESS) -> None:
    """Print a list of the lessons, with the results so far.

    Args:
        console: the console to print to.
        progress: the file in which the results are kept.
    """
    known = results(progress)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="Lessons", title_justify="left")
    table.add_column("", justify="right")
    table.add_column("lesson")
    table.add_column("time", justify="right", no_wrap=True)
    if known:
        table.add_column("done")
    for number, each in lessons().items():
        done = [str(known.get(number, ""))] if known else []
        table.add_row(str(number), each.title, f"{each.minutes} min", *done)
    console.print(table)
    following = next((n for n in lessons() if n not in known or not known[n].finished), None)
    if following is None:
        console.print("You have taken them all.")
    else:
        console.print(f"{'Continue' if known else 'Start'} with: fedsim lesson {following}")


def take(
    number: int, console: Console, *, ask: bool, out: Path | None = None, progress: Path = PROGRESS
) -> None:
    """Guide the user through a lesson.

    Args:
        number: number of the lesson.
        console: the console to print to.
        ask: whether to wait for answers; otherwise show the right ones.
        out: parent folder of its runs.
        progress: the file in which the result is kept; nothing is kept if nobody is asked.
    """
    course = lesson(number)
    folder = out or new_folder(slug(number))
    try:
        _guide(course, console, folder, ask)
    except EOFError:
        console.print(f"\nYou left the lesson. Take it again: fedsim lesson {number}")
        if course.ran is None:
            return
    finally:
        if ask and course.ran is not None:
            try:
                keep(number, course.result, progress)
            except OSError as error:
                console.print(f"your progress was not kept: {error}", markup=False)
    console.print(f"\nSee more: fedsim report {folder} --open", soft_wrap=True)
    if course.result.finished and number + 1 in lessons():
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


def _guide(course: Course, console: Console, folder: Path, ask: bool) -> None:
    plan = course.plan
    console.print(Rule(f"Lesson {course.number}: {plan.title}"))
    console.print(Markdown(plan.introduction))
    console.print(Rule("Predict"))
    console.print(Markdown(asked(plan.prediction)))
    if ask:
        console.print(f"{LEAVE} leaves the lesson here and at every question.", style="dim")
        course.predict(_choice(plan.prediction, console))
    console.print(Rule(f"Run (about {plan.seconds} s)"))
    _show(course.run(folder, live=True), console)
    console.print(Rule("What happened"))
    console.print(Markdown(course.outcome().markdown))
    for number in range(1, len(plan.questions) + 1):
        _question(course, number, console, ask)
    console.print(Rule("Conclusion"))
    console.print(Markdown(plan.conclusion))
    if ask:
        console.print(f"\n{course.result}.")


def _show(ran: Ran, console: Console) -> None:
    for name, each in ran.items():
        console.print(Rule(name, align="left", style="dim"))
        if console.is_terminal and (shown := gallery(Run.read(each.folder), SHOWN)) is not None:
            console.print(shown)
        if each.summary.rows:
            console.print(summary_table(each.summary, console.width))
        else:
            accuracy = each.accuracy[max(each.accuracy)]
            console.print(
                f"no attack; {each.summary.accuracy_name} {accuracy:.1%}", highlight=False
            )
    for line in dict.fromkeys(str(r) for each in ran.values() for r in remarks(each.summary)):
        console.print(line, style="dim", markup=False, highlight=False)


def _question(course: Course, number: int, console: Console, ask: bool) -> None:
    """Ask a question until it is settled, or show its answer."""
    question = course.plan.questions[number - 1]
    console.print(Rule(f"Question {number}"))
    console.print(Markdown(asked(question)))
    if not ask:
        assert course.ran is not None  # noqa: S101 - it has just been run
        told = course.answer(number, right_choice(question, course.ran.summaries)).markdown
        console.print(Markdown(told.removeprefix("**Right.** ")))
    while not course.settled(number):
        console.print(Markdown(course.answer(number, _choice(question, console)).markdown))


def _choice(question: Question, console: Console) -> int:
    """Return the user's choice; print the hint as often as it is asked for.

    Raises:
        EOFError: the user leaves the lesson.
    """
    numbers = [str(i) for i in range(1, len(question.choices) + 1)]
    others = [HINT, LEAVE] if question.hint else [LEAVE]
    while True:
        said = Prompt.ask("Your answer", choices=[*numbers, *others], console=console)
        if said == LEAVE:
            raise EOFError
        if said != HINT:
            return int(said)
        console.print(Markdown(question.hint))
