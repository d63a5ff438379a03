"""Export to TensorBoard: one event file for each run, by the library's own writer."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from fedsim.scenario.grid import slug
from fedsim.show.export.measured import Measured
from fedsim.show.export.target import Target, Tool, need


def write(runs: Sequence[Measured], target: Target) -> str:
    """Write the event files, and return the command that shows them.

    Raises:
        DataError: TensorBoard is not installed.
    """
    for number, run in enumerate(runs):
        _write_run(run, target, number)
    return f"tensorboard --logdir {target.out}"


def _write_run(run: Measured, target: Target, number: int) -> None:
    events = need("tensorboard.compat.proto.event_pb2", Tool.TENSORBOARD)
    summaries = need("tensorboard.compat.proto.summary_pb2", Tool.TENSORBOARD)
    files = need("tensorboard.summary.writer.event_file_writer", Tool.TENSORBOARD)
    value = summaries.Summary.Value
    writer = files.EventFileWriter(str(target.out / f"{number:02d}-{slug(run.name)}"))
    try:
        for point in run.points:
            summary = summaries.Summary(value=[value(tag=point.name, simple_value=point.value)])
            writer.add_event(events.Event(step=point.round, summary=summary))
        for name, path in run.pictures.items():
            with Image.open(path) as picture:
                width, height = picture.size
            image = summaries.Summary.Image(
                width=width, height=height, colorspace=3, encoded_image_string=path.read_bytes()
            )
            summary = summaries.Summary(value=[value(tag=f"pictures/{name}", image=image)])
            writer.add_event(events.Event(step=0, summary=summary))
    finally:
        writer.close()
