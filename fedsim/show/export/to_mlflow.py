"""Export to MLflow: a local store, or the tracking server of the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fedsim.show.export.measured import Measured
from fedsim.show.export.target import Target, Tool, need

_FILES = "MLFLOW_ALLOW_FILE_STORE"

_LONGEST = 500
"""Maximum length of a parameter's value."""

_FEWEST = 100
"""Maximum number of parameters in one request."""


def write(runs: Sequence[Measured], target: Target) -> str:
    """Write the runs, and return the command that shows them.

    Raises:
        DataError: MLflow is not installed.
    """
    mlflow = need("mlflow", Tool.MLFLOW)
    store = target.out.resolve() / "mlruns"
    if not target.online:
        os.environ.setdefault(_FILES, "true")  # newer versions keep files only if asked to
    client = mlflow.MlflowClient(tracking_uri=None if target.online else store.as_uri())
    found = client.get_experiment_by_name(target.project)
    experiment = client.create_experiment(target.project) if found is None else found.experiment_id
    for run in runs:
        _write_run(mlflow, client, experiment, run)
    if target.online:
        return f"open the experiment {target.project} of your MLflow server"
    return f"{_FILES}=true mlflow ui --backend-store-uri {store.as_uri()}"


def _write_run(mlflow: Any, client: Any, experiment: str, run: Measured) -> None:
    opened = client.create_run(
        experiment, run_name=run.name, tags={"comparison": run.group} if run.group else {}
    )
    entities, made = mlflow.entities, opened.info.run_id
    settings = [
        entities.Param(_safe(key), str(value)[:_LONGEST]) for key, value in run.settings.items()
    ]
    for start in range(0, len(settings), _FEWEST):
        client.log_batch(made, params=settings[start : start + _FEWEST])
    for point in run.points:
        client.log_metric(made, _safe(point.name), point.value, step=point.round)
    for path in run.pictures.values():
        client.log_artifact(made, str(path), "pictures")
    client.set_terminated(made)


def _safe(name: str) -> str:
    """Return a name with only the characters that MLflow takes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-. /") else "_" for c in name)
