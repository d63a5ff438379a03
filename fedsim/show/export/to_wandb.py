"""Export to Weights & Biases, offline unless asked otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedsim.show.export.measured import Measured
from fedsim.show.export.target import Target, Tool, need


def write(runs: Sequence[Measured], target: Target) -> str:
    """Write the runs, and return the command that sends or shows them.

    Raises:
        DataError: wandb is not installed.
    """
    wandb = need("wandb", Tool.WANDB)
    target.out.mkdir(parents=True, exist_ok=True)
    for run in runs:
        _write_run(wandb, run, target)
    wandb.teardown()  # waits until all is in the files
    if target.online:
        return f"open the project {target.project} of your Weights & Biases server"
    return f"wandb sync {target.out}/wandb/offline-run-*"


def _write_run(wandb: Any, run: Measured, target: Target) -> None:
    opened = wandb.init(
        project=target.project,
        group=run.group or None,
        name=run.name,
        config=dict(run.settings),
        dir=str(target.out),
        mode="online" if target.online else "offline",
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    )
    try:
        opened.define_metric("round")
        opened.define_metric("*", step_metric="round")
        for server_round in sorted({p.round for p in run.points}):
            own = {p.name: p.value for p in run.points if p.round == server_round}
            opened.log({"round": server_round, **own})
        if run.pictures:
            opened.log({f"pictures/{n}": wandb.Image(str(p)) for n, p in run.pictures.items()})
    finally:
        opened.finish()
