"""Audits of recorded uploads and of whole Flower apps, as the command line asks for them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.core.environment import prepare
from fedsim.core.errors import FedsimError, RunError
from fedsim.log.folders import RECORDS, ladder_place
from fedsim.log.run import Run

PLAIN = "plain"
"""Name of the aggregation that shows single uploads."""

if TYPE_CHECKING:
    from fedsim.engine.audit import AuditPlan
    from fedsim.engine.audit.request import Request


def audit_recorded(
    request: Request, before: Path, after: Sequence[Path], truth: Path | None, out: Path
) -> None:
    """Attack uploads that were recorded anywhere, and write a run folder with its report.

    Args:
        request: the options.
        before: file of the model that the clients received.
        after: for each client the file of its trained weights, or of its gradient.
        truth: file or folder of the private examples, or None.
        out: the run folder, new or empty.

    Raises:
        FedsimError: a file or an option is invalid.
    """
    prepare()
    from fedsim.api.watch import Drawing  # noqa: PLC0415  (loads torch)
    from fedsim.engine.audit.loading import load_tensors  # noqa: PLC0415
    from fedsim.engine.audit.recorded import audit_uploads  # noqa: PLC0415
    from fedsim.engine.audit.request import truth_in  # noqa: PLC0415
    from fedsim.log.writer import RunLog  # noqa: PLC0415
    from fedsim.show import conclude  # noqa: PLC0415

    sent, trained = load_tensors(before), [load_tensors(path) for path in after]
    plan = request.plan(truth_in(truth, len(after)), {}, None)
    log = RunLog(out)
    try:
        audit_uploads(plan, log, Drawing(), sent, trained)
    finally:
        if (out / RECORDS).stat().st_size:
            conclude.conclude_run(out)


def audit_app(
    request: Request,
    app: Path,
    clients: int | None,
    changes: Mapping[str, Any],
    out: Path,
    *,
    ladder_limit_s: float | None = None,
) -> None:
    """Run a Flower app in a process of its own, with the audit around its strategy.

    Args:
        request: the options.
        app: the folder of the app.
        clients: number of clients; None for the app's.
        changes: values that replace those of the app's configuration.
        out: the run folder, new or empty.
        ladder_limit_s: time limit of a ladder and of its map, in seconds; None for no ladder.

    Raises:
        RunError: the app failed, or cannot be audited; the message ends with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="fedsim-audit-") as scratch:
        order: dict[str, Any] = {
            "request": request.to_json(),
            "app": str(app.absolute()),
            "clients": clients,
            "changes": dict(changes),
            "kept": str(Path(scratch) / "kept"),
            "out": str(out.absolute()),
            "ladder_limit_s": ladder_limit_s,
            "problem": str(Path(scratch) / "problem"),
        }
        place = Path(scratch) / "order.json"
        place.write_text(json.dumps(order), "utf-8")
        command = [sys.executable, "-m", "fedsim.api.hosted", str(place)]
        # What the app prints is for people: standard output is the command's own.
        ended = subprocess.run(command, stdout=sys.stderr, check=False)  # noqa: S603
        problem = Path(order["problem"])
        if problem.is_file():
            raise RunError(problem.read_text("utf-8"))
        if ended.returncode:
            raise RunError(f"{app}: the app ended with exit code {ended.returncode}; see above")


def host(order: Mapping[str, Any]) -> None:
    """Run the app of an order in this process; called in the process of `audit_app`.

    Raises:
        FedsimError: the app cannot be loaded or audited.
    """
    from fedsim.api.ladders import climb  # noqa: PLC0415
    from fedsim.api.strategies import opened  # noqa: PLC0415
    from fedsim.engine.audit import KeptBatches  # noqa: PLC0415
    from fedsim.engine.audit.hosted import AppFolder, run_app  # noqa: PLC0415
    from fedsim.engine.audit.request import Request, planner  # noqa: PLC0415

    kept, out = KeptBatches(order["kept"]), Path(order["out"])
    request = Request.from_json(order["request"])
    plan = planner(request, kept)
    seen: list[AuditPlan] = []
    held: list[int] = []

    def planned(node: int, server_round: int) -> AuditPlan:
        seen.append(plan(node, server_round))
        held.append(len(kept.read(node, server_round)[0]))
        return seen[-1]

    app = AppFolder.read(Path(order["app"]), order["changes"])
    run_app(app, order["clients"], kept.folder, lambda: opened(planned, out))
    if not (out / RECORDS).is_file() or not (out / RECORDS).stat().st_size:
        raise RunError(f"{app.path}: nothing could be audited; see the messages above")
    if order["ladder_limit_s"] is not None and seen:
        limit = order["ladder_limit_s"]
        climb(
            seen[0],
            ladder_place(out),
            own_public=request.public is not None,
            examples=held[0],
            time_limit_s=limit,
            map_limit_s=limit,
            tell=True,
            notes=ladder_notes(Run.read(out)),
        )


def ladder_notes(run: Run) -> list[str]:
    """Return remarks on the ladder beside an audited app.

    Args:
        run: the audit of the app.
    """
    if run.scenario["federation"]["aggregation"]["name"] == PLAIN:
        return []
    return [
        "Each rung is the upload of a single client. The app's server sees sums of uploads alone, "
        "which are attacked like larger batches."
    ]


def answer(place: Path) -> int:
    """Run the app of an order file, and return the exit code of its process."""
    order = json.loads(place.read_text("utf-8"))
    try:
        host(order)
    except FedsimError as error:
        Path(order["problem"]).write_text(str(error), "utf-8")
        return 1
    return 0
