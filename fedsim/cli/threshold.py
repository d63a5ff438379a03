"""Result and exit code of ``fedsim audit``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from fedsim.cli.run_view import conclude

if TYPE_CHECKING:
    from fedsim.log.run import Run

LEAKS, NO_EVIDENCE = 3, 4


def conclude_by(folder: Path, *, as_json: bool, fail_above: float | None) -> None:
    """Print the result, and exit by the threshold.

    Raises:
        Exit: the threshold was passed, or there is no evidence for it.
    """
    from fedsim.log.run import Run  # noqa: PLC0415

    conclude(Console(), folder, as_json=as_json)
    run = Run.read(folder)
    code = exit_code(run, fail_above)
    if code == NO_EVIDENCE:
        from fedsim.show.gaps import gaps  # noqa: PLC0415

        for gap in gaps(run):
            sys.stderr.write(f"not audited: {gap}\n")
    if code:
        raise typer.Exit(code)


def exit_code(run: Run, fail_above: float | None) -> int:
    """Return the exit code for a threshold on the share of leaked examples.

    Args:
        run: the run.
        fail_above: the threshold, or None.

    Returns:
        3 if more leaked; 4 without evidence: more would have leaked if a better attack found all
        examples that are neither protected nor nothing to leak, the run did not finish, or a round,
        a client or an upload was not attacked that should have been (`fedsim.show.gaps`), whose
        examples could all have leaked; else 0.
    """
    if fail_above is None:
        return 0
    from fedsim.show.as_json import run_result  # noqa: PLC0415

    found = run_result(run)
    if found.status != "finished" and not (found.leakage or 0) > fail_above:
        return NO_EVIDENCE
    if found.leakage is not None and found.leakage > fail_above:
        return LEAKS
    possible = 1.0 if found.gaps or found.possible is None else found.possible
    return 0 if found.possible is not None and possible <= fail_above else NO_EVIDENCE
