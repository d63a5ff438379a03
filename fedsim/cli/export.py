"""``fedsim export``: runs in TensorBoard, Weights & Biases or MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedsim.cli.options import Plugins
from fedsim.show.export.target import Target, Tool


def export(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder, or a comparison's folder.")
    ],
    to: Annotated[
        Tool, typer.Option("--to", help="The tool; pip install 'fedsim-leakage\\[TOOL]'.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the files.  \\[default: RUN/export-TOOL]"),
    ] = None,
    project: Annotated[str, typer.Option(help="Name of the project or experiment.")] = "fedsim",
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Send to the server that the tool is set up for; without it nothing leaves this "
            "machine. Pictures of private data are sent too.",
        ),
    ] = False,
    plugins: Plugins = None,
) -> None:
    """Export a run or a comparison to a tracker of experiments, by the tool's own library."""
    from fedsim.show.export.write import export as export_to  # noqa: PLC0415

    if online and to is Tool.TENSORBOARD:
        raise typer.BadParameter("TensorBoard has no server to send to: leave --online out")
    target = Target(out or folder / f"export-{to.value}", project, online)
    told = export_to(folder, to, target)
    Console().print(told, markup=False, highlight=False, soft_wrap=True)
