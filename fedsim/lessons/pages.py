"""A page for teachers on each lesson."""

from __future__ import annotations

from fedsim.lessons.course import Ran
from fedsim.lessons.facts import explanation, right_choice
from fedsim.lessons.plan import Lesson, Question, load_lesson


def page(number: int, ran: Ran) -> str:
    """Return the page for teachers on a lesson, in Markdown, with the results of its runs.

    Args:
        number: number of the lesson.
        ran: its runs.
    """
    plan = load_lesson(number)
    aims = "\n".join(f"- {aim}" for aim in plan.aims)
    questions = "\n\n".join(_solved(q, ran) for q in plan.questions)
    return f"""# Lesson {number}: {plan.title}

In the terminal: `fedsim lesson {number}`.
As a notebook: `fedsim lesson {number} --notebook lesson-{number}.ipynb`.

**Time:** {plan.minutes} minutes, of which the runs take {plan.seconds} seconds on two cores.

## Aims

{aims}

## Prediction

{_solved(plan.prediction, ran)}

## Expected results

{_results(plan, ran)}

{plan.look}

## Questions

{questions}

## Conclusion

{plan.conclusion}

## In class

{plan.hints}
"""


def _solved(question: Question, ran: Ran) -> str:
    right = right_choice(question, ran.summaries)
    choices = "\n".join(
        f"{i}. **{choice}** (right)" if i == right else f"{i}. {choice}"
        for i, choice in enumerate(question.choices, start=1)
    )
    return f"{question.question}\n\n{choices}\n\n{explanation(question, ran.summaries)}"


def _results(plan: Lesson, ran: Ran) -> str:
    head = "| run | clients | defense | attacker | leaked | score (worst) | blind | accuracy |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for name, run in ran.items():
        unit = run.summary.measure
        for row in run.table():
            score = "–"
            if isinstance(row["score"], float) and isinstance(row["worst"], float):
                score = f"{unit.show(row['score'])} ({unit.show(row['worst'])})"
            blind = unit.show(row["blind"]) if isinstance(row["blind"], float) else "–"
            accuracy = f"{row['accuracy']:.0%}" if isinstance(row["accuracy"], float) else "–"
            lines.append(
                f"| {name} | {row['clients']} | {row['defense']} | {row['attacker']} "
                f"| {row['leaked']}/{row['attacked']} | {score} | {blind} | {accuracy} |"
            )
    return "\n".join(lines)
