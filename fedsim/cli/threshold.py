"""Result and exit code of ``fedsim audit``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from fedsim.log.run import Run

LEAKS, NO_EVIDENCE = 3, 4


def conclude_by(folder: Path, *, as_json: bool, fail_above: float | None) -> None:
    """Print the result, and exit by the threshold.

    Raises:
        Exit: the threshold was passed, or there is no evidence for it.
    """
    from fedsim.cli.main import conclude  # noqa: PLC0415  (which has this command)
    from fedsim.log.run import Run  # noqa: PLC0415

    run = Run.read(folder)
    if as_json:
        sys.stdout.write(json.dumps(result(run)) + "\n")
    else:
        conclude(Console(), folder)
    code = exit_code(run, fail_above)
    if code:
        raise typer.Exit(code)


def result(run: Run) -> dict[str, Any]:
    """Return the result of an audit in plain values.

    ``leakage`` is the share of the attacked private examples that leaked, in part or fully; None if
    none could be compared. ``possible`` is the share that is neither protected nor nothing to leak:
    an attack that failed says nothing about them. ``control`` is whether the positive control was
    reconstructed.
    """
    from fedsim.log.schema import Meaning  # noqa: PLC0415
    from fedsim.show.headline import notes_said, run_headline  # noqa: PLC0415

    summary = run.summary
    worst = summary.worst
    unknown = (Meaning.NOT_COMPARED, Meaning.NOTHING)
    compared = sum(n for meaning, n in worst.items() if meaning not in unknown)
    leaked = worst.get(Meaning.LEAKED, 0) + worst.get(Meaning.PARTLY, 0)
    attacked = sum(worst.values())
    safe = worst.get(Meaning.PROTECTED, 0) + worst.get(Meaning.NOTHING, 0)
    return {
        "headline": run_headline(summary) or "Nothing was attacked.",
        "leakage": leaked / compared if compared else None,
        "possible": 1 - safe / attacked if attacked else None,
        "examples": {meaning.value: n for meaning, n in worst.items()},
        "control": summary.control is not None and not summary.control_failed,
        "remarks": [
            *notes_said(summary),
            *(f"{victim}: no reconstruction: {why}" for victim, why in summary.failures),
        ],
        "problems": [f"round {r}, client {c}: {why}" for r, c, why in summary.problems],
        "folder": str(run.folder),
    }


def exit_code(run: Run, fail_above: float | None) -> int:
    """Return the exit code for a threshold on the share of leaked examples.

    Args:
        run: the run.
        fail_above: the threshold, or None.

    Returns:
        3 if more leaked; 4 without evidence: more would have leaked if a better attack found all
        examples that are neither protected nor nothing to leak; else 0.
    """
    if fail_above is None:
        return 0
    found = result(run)
    if found["leakage"] is not None and found["leakage"] > fail_above:
        return LEAKS
    return 0 if found["possible"] is not None and found["possible"] <= fail_above else NO_EVIDENCE
