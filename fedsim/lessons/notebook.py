"""Lessons as Jupyter notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.lessons.course import asked
from fedsim.lessons.plan import load_lesson

if TYPE_CHECKING:
    from fedsim.scenario import Scenario


INSTALL = """\
# Installs fedsim where it is missing, as on Colab, from its wheel: `uv build --wheel` in a clone
# writes it to dist/; put it beside this notebook. fedsim-leakage 0.1.0 is not released, so there
# is nothing to install by its name yet.
import glob
from importlib.metadata import PackageNotFoundError, version

try:
    print("fedsim", version("fedsim-leakage"))
except PackageNotFoundError:
    wheel = max(glob.glob("fedsim_leakage-*.whl"), default=None)
    if wheel is None:
        raise FileNotFoundError("no fedsim_leakage-*.whl beside this notebook") from None
    %pip install --quiet {wheel}"""
"""First cell. Nothing is installed by name: `fedsim` is another project on PyPI, and anybody could
take `fedsim-leakage` there until 0.1.0 is released."""


def write_notebook(number: int, path: Path) -> Path:
    """Write a lesson as a notebook for Jupyter.

    Args:
        number: number of the lesson.
        path: the file to write.

    Raises:
        ScenarioError: there is no such lesson.
        OSError: the file cannot be written.
    """
    path.write_text(json.dumps(notebook(number), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def notebook(number: int) -> dict[str, Any]:
    """Return a lesson as a notebook in version 4.5 of the format (nbformat.readthedocs.io)."""
    plan = load_lesson(number)
    looks = [
        [_code(f"runs[{name!r}]")] + [_code(f"runs[{name!r}].figures(0)")] * _attacks(scenario)
        for name, scenario in plan.scenarios.items()
    ]
    questions = [
        [_markdown(f"**{i}.** {asked(q)}"), _code(f"lesson.answer({i}, choice=1)  # {_HELP}")]
        for i, q in enumerate(plan.questions, start=1)
    ]
    cells = [
        _markdown(f"# {number}. {plan.title}\n\n{plan.introduction}"),
        _code(INSTALL),
        _code(f"import fedsim\n\nlesson = fedsim.lesson({number})"),
        _markdown(f"## Predict\n\n{asked(plan.prediction)}"),
        _code("lesson.predict(1)  # your choice"),
        _markdown(f"## Run\n\nThis takes about {plan.seconds} seconds on two cores."),
        _code("runs = lesson.run()"),
        *(cell for look in looks for cell in look),
        _code("lesson.outcome()"),
        _markdown("## Questions"),
        *(cell for question in questions for cell in question),
        _markdown("## Solutions"),
        _code("print(lesson.result)\nlesson.solutions()"),
        _markdown(f"## Conclusion\n\n{plan.conclusion}"),
    ]
    return {
        "cells": [{"id": f"cell-{i}", **cell} for i, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


_HELP = "your choice; run it again for a second try"


def _attacks(scenario: Scenario) -> bool:
    plan = scenario.adversary
    return plan is not None and any(map(plan.attacks, range(1, scenario.federation.rounds + 1)))


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> dict[str, Any]:
    code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}}
    return {**code, "outputs": [], "source": text}
