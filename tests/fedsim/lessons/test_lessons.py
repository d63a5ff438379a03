"""Lessons as they are taken: in the terminal, in Python and as notebooks."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from rich.console import Console
from typer.testing import CliRunner

import fedsim
from fedsim.cli.main import app
from fedsim.core.errors import FedsimError, RunError
from fedsim.lessons import lessons
from fedsim.lessons.course import Course, Ran
from fedsim.lessons.facts import right_choice
from fedsim.lessons.notebook import notebook, write_notebook
from fedsim.lessons.pages import page
from fedsim.lessons.plan import Question, slug
from fedsim.lessons.progress import Result, keep, results
from fedsim.lessons.terminal import contents, take

PAGES = Path(__file__).parents[3] / "docs" / "lessons"

every_lesson = pytest.mark.parametrize("number", lessons())


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Course:
    course = fedsim.lesson(1)
    course.run(tmp_path_factory.mktemp("lesson") / "runs")
    return course


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def told(width: int = 200) -> Console:
    return Console(file=io.StringIO(), width=width)


def test_contents(tmp_path: Path) -> None:
    console = told()
    contents(console, tmp_path / "lessons.json")
    assert "Start with: fedsim lesson 1" in said(console)
    assert all(each.title in said(console) for each in lessons().values())


def test_answers_are_checked(first: Course) -> None:
    assert first.predict(1).markdown == "You predict: *None: a gradient is not a picture*."
    outcome = first.outcome().markdown
    assert outcome.startswith("You predicted: *None: a gradient is not a picture*. It is: *All")
    assert "recognises 100% of them" in outcome
    assert first.answer(1, 3).markdown.startswith("**Right.** It is: *how each")
    assert first.answer(1, 1).markdown.startswith("**No.** It is: *how each")
    assert "2. some 10 dB better" in first.question(2).markdown
    assert "Predict." in first._repr_markdown_()


def test_a_second_try(first: Course) -> None:
    course = Course(1, first.plan, ran=first.ran)
    assert course.answer(1, 1).markdown == f"**Not that one.** {course.hint(1)} Try again."
    assert course.answer(1, 2).markdown.startswith("**No.** It is: *how each")
    assert course.answer(1, 1).markdown.startswith("**No.** It is: *how each")
    assert course.answer(2, 3).markdown.startswith("**Right.**")
    assert str(course.result) == "left after 2 of 3 questions"
    assert course.answer(3, 1).markdown.startswith("**Not that one.**")
    assert course.answer(3, 2).markdown.startswith("**Right.**")
    assert str(course.result) == "2 of 3 right, 1 at the second try"
    assert course.solutions().markdown.startswith("**1.** It is: *how each")


def test_with_two_choices_there_is_one_try(first: Course) -> None:
    plan = first.plan.model_copy(
        update={
            "questions": [
                Question(question="?", choices=["a", "b"], right=1, hint="think", why="so")
            ]
        }
    )
    assert Course(1, plan, ran=first.ran).answer(1, 2).markdown == "**No.** It is: *a*. so"


def test_what_cannot_be_answered(first: Course) -> None:
    with pytest.raises(FedsimError, match="no choice 4: expected a number from 1 to 3"):
        first.answer(1, 4)
    with pytest.raises(FedsimError, match="no question 9: expected 1 to 3"):
        first.answer(9, 1)
    with pytest.raises(FedsimError, match="no choice 0"):
        first.predict(0)
    with pytest.raises(RunError, match="has not been run yet"):
        fedsim.lesson(1).answer(2, 1)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the list of lines that the user types."""
    lines: list[str] = []
    monkeypatch.setattr("rich.console.Console.input", lambda *_, **__: lines.pop(0))
    yield lines
    assert not lines


def test_in_the_terminal(tmp_path: Path, typed: list[str]) -> None:
    typed += ["2", "3", "h", "1", "7", "3", "1", "3"]  # there is no choice 7: asked again
    console, progress = told(), tmp_path / "lessons.json"
    take(1, console, ask=True, out=tmp_path / "runs", progress=progress)
    text = said(console)
    assert "You predicted: One or two. It is: All four." in text
    assert "Right. It is: how each of the model's weights should change." in text
    hint = "subtract the blind guess beside them."
    assert text.count(hint) == 2, "asked for, and after the first wrong answer"
    assert f"Not that one. Read the scores in the table, and {hint} Try again." in text
    assert "Right. It is: more than 50 dB better." in text
    assert "No. It is: it uses another of the hundred neurons" in text
    assert "2 of 3 right, 1 at the second try." in text
    assert "Continue: fedsim lesson 2" in text
    assert "What leaked" in text
    assert (tmp_path / "runs" / "1" / "report.html").is_file()
    listed = told()
    contents(listed, progress)
    assert "15 min 2 of 3 right, 1 at the second try" in said(listed)
    assert "Continue with: fedsim lesson 2" in said(listed)


def test_leaving(
    tmp_path: Path, typed: list[str], first: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = tmp_path / "lessons.json"
    typed += ["q"]
    take(1, told(), ask=True, out=tmp_path / "runs", progress=progress)
    assert not progress.exists(), "nothing was done"

    def ran(course: Course, *_: object, **__: object) -> Ran:
        assert first.ran is not None
        course.ran = first.ran
        return first.ran

    monkeypatch.setattr(Course, "run", ran)
    typed += ["2", "3", "q"]
    console = told()
    take(1, console, ask=True, out=tmp_path / "runs", progress=progress)
    assert "You left the lesson. Take it again: fedsim lesson 1" in said(console)
    assert str(results(progress)[1]) == "left after 1 of 3 questions"


def test_the_best_result_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lessons.json"
    for right, answered in ((1, 3), (2, 3), (0, 3), (2, 2)):
        keep(4, Result(right=right, answered=answered, of=3), path)
    keep(5, Result(right=0, answered=1, of=3), path)
    assert {n: str(r) for n, r in results(path).items()} == {
        4: "2 of 3 right",
        5: "left after 1 of 3 questions",
    }
    path.write_text("no JSON")
    assert results(path) == {}


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["lesson", "1", "--out", str(tmp_path / "runs")])
    assert result.exit_code == 0
    assert "It is: All four." in " ".join(result.output.split())
    assert "right." not in result.output.split("Conclusion")[1]


def test_on_the_command_line(tmp_path: Path) -> None:
    runner = CliRunner()
    assert "Noise and its price" in runner.invoke(app, ["lesson"]).output
    path = tmp_path / "lesson.ipynb"
    assert runner.invoke(app, ["lesson", "4", "--notebook", str(path)]).exit_code == 0
    assert nbformat.read(path, 4).cells[0].source.startswith("# 4. Noise and its price")
    assert isinstance(runner.invoke(app, ["lesson", "77"]).exception, FedsimError)


@every_lesson
def test_notebooks_are_valid(number: int) -> None:
    nbformat.validate(nbformat.from_dict(notebook(number)))


def test_notebooks_install_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = next(c["source"] for c in notebook(1)["cells"] if c["cell_type"] == "code")
    lines = code.replace("%pip install --quiet {wheel}", "pip = wheel")
    known: dict[str, object] = {}
    exec(lines, known)  # noqa: S102
    assert "pip" not in known, "it is installed here"
    lines = lines.replace('version("fedsim-leakage")', 'version("no-such-thing")')
    with pytest.raises(FileNotFoundError, match="beside this notebook"):
        exec(lines, known)  # noqa: S102
    (tmp_path / "fedsim_leakage-0.1.0-py3-none-any.whl").touch()
    exec(lines, known)  # noqa: S102
    assert known["pip"] == "fedsim_leakage-0.1.0-py3-none-any.whl"


def test_notebooks_show_victims_only_of_runs_with_an_attack() -> None:
    for number, plan in lessons().items():
        code = "".join(cell["source"] for cell in notebook(number)["cells"])
        for name, scenario in plan.scenarios.items():
            assert f"runs[{name!r}]" in code
            adversary, rounds = scenario.adversary, range(1, scenario.federation.rounds + 1)
            attacked = adversary is not None and any(adversary.attacks(r) for r in rounds)
            assert (f"runs[{name!r}].figures(" in code) == attacked


@every_lesson
def test_each_has_a_page_for_teachers(number: int) -> None:
    text = (PAGES / f"{slug(number)}.md").read_text("utf-8")
    lesson = lessons()[number]
    for part in (lesson.title, lesson.look, lesson.conclusion, lesson.hints, *lesson.aims):
        assert part in text


def run_notebook(number: int, folder: Path) -> str:
    """Run a lesson's notebook and return what it showed."""
    path = write_notebook(number, folder / "lesson.ipynb")
    ran = NotebookClient(
        nbformat.read(path, 4), timeout=300, resources={"metadata": {"path": str(folder)}}
    ).execute()
    outputs = [out for cell in ran.cells for out in cell.get("outputs", [])]
    return "\n".join(str(out.get("data", out)) for out in outputs)


@pytest.mark.slow
def test_a_notebook_runs(tmp_path: Path) -> None:
    shown = run_notebook(1, tmp_path)
    assert "It is: *All four*" in shown
    assert "data:image/png;base64" in shown
    assert "<table>" in shown


@pytest.mark.lessons
@pytest.mark.timeout(1800)  # minutes, and more on a busy machine
@every_lesson
def test_every_lesson_comes_to_what_its_page_says(number: int, tmp_path: Path) -> None:
    course = fedsim.lesson(number)
    ran = course.run(tmp_path / "runs")
    committed = (PAGES / f"{slug(number)}.md").read_text("utf-8")
    assert without_figures(page(number, ran)) == without_figures(committed)
    for question in (course.plan.prediction, *course.plan.questions):
        right = question.choices[right_choice(question, ran.summaries) - 1]
        assert f"**{right}** (right)" in committed


@pytest.mark.lessons
@pytest.mark.timeout(1800)  # minutes, and more on a busy machine
@every_lesson
def test_every_notebook_runs(number: int, tmp_path: Path) -> None:
    assert "It is: *" in run_notebook(number, tmp_path)


def without_figures(text: str) -> str:
    return re.sub(r"-?\d+(\.\d+)?(e[+-]\d+)?", "#", text)
