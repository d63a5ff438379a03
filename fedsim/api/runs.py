"""Runs in notebooks and scripts."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fedsim.api.display import Cell, Explanations, Figure, Figures, Table
from fedsim.api.overrides import settings
from fedsim.api.own import own_parts, positions
from fedsim.core.errors import RunError
from fedsim.log.folders import new_folder
from fedsim.log.reader import inside
from fedsim.log.run import Run as RunFolder
from fedsim.log.schema import CONTROL, LeakageRecord, Meaning
from fedsim.log.summary import Row, Summary
from fedsim.scenario import Scenario, scenario_text
from fedsim.show.headline import run_headline

if TYPE_CHECKING:
    from fedsim.log.schema import LogRecord


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run.

    Its rich display shows the leakage and the table.

    Attributes:
        folder: the folder with its files.
    """

    folder: Path

    @cached_property
    def _log(self) -> RunFolder:
        return RunFolder.read(self.folder)

    @property
    def records(self) -> list[LogRecord]:
        """All records of the run's log."""
        return self._log.records

    @property
    def summary(self) -> Summary:
        """Summary of the records."""
        return self._log.summary

    @property
    def title(self) -> str:
        """Title of the scenario."""
        return self._log.title

    @property
    def accuracy(self) -> dict[int, float]:
        """Test accuracy of the global model, in [0, 1], by round; of numbers R², at most 1."""
        return self.summary.accuracy

    def write_report(self, out: Path | str | None = None) -> Path:
        """Write the report, a file to open in a browser, and return its path.

        Args:
            out: the file; ``report.html`` in the run folder if None.
        """
        from fedsim.show.report.write import write_report  # noqa: PLC0415

        return write_report(self.folder, None if out is None else Path(out))

    @property
    def victims(self) -> list[str]:
        """Names of all victims, the positive controls last."""
        leakage = self._log.of_kind(LeakageRecord)
        return list(dict.fromkeys(r.victim for r in sorted(leakage, key=lambda r: r.is_control)))

    def table(self) -> Table:
        """Return the leakage, a row for each group of clients and attacker.

        ``score`` is the median over all attacked examples, ``worst`` the highest score, ``blind``
        the median of the best guess without a gradient: in dB for pictures, in percent of the
        tokens for texts. ``leaked`` of ``attacked`` examples are recognisable.
        """
        accuracy = self.accuracy[max(self.accuracy)] if self.accuracy else None
        measure = self.summary.measure
        return Table(
            [_row(row, accuracy) for row in self.summary.rows],
            note=f"score, worst, blind: {measure.name}. accuracy: of the global model.",
        )

    def figures(self, victim: str | int = 0) -> Figures:
        """Return the emergence of a victim's data: a figure for each picture or text of its batch.

        Args:
            victim: a name in `victims`, or its index there.

        Raises:
            RunError: there is no such victim, or there is no reconstruction.
        """
        names = self.victims
        if isinstance(victim, int) and -len(names) <= victim < len(names):
            victim = names[victim]
        found = [r for r in self._log.of_kind(LeakageRecord) if r.victim == victim]
        if not found:
            raise RunError(
                f"{self.folder}: no victim {victim!r}: expected a position from 0 to "
                f"{len(names) - 1}, or one of {', '.join(names[:8])}"
                + (", ..." if len(names) > 8 else "")
            )
        shown = [f for record in found if (f := self._figure(record)) is not None]
        if not shown:
            raise RunError(f"{self.folder}: there is no reconstruction of {victim} to show")
        return Figures(shown)

    def explain(self) -> Explanations:
        """Return the causes of failed attacks, for each group of clients and attacker."""
        from fedsim.show.explain import explain  # noqa: PLC0415

        return Explanations(explain(self.folder))

    def _figure(self, record: LeakageRecord) -> Figure | None:
        victim, example = record.victim, record.score.example
        stems = (f"{victim}-{example}", victim)  # examples of a batch of one are not numbered
        names = [f"{stem}.{end}" for stem in stems for end in ("svg", "png")]
        path = next((p for name in names if (p := self._file(f"pictures/{name}"))), None)
        if path is None:
            return None
        measure = self.summary.measure
        value = record.score.figure(measure)
        score = "" if value is None else f", {measure.show(value)}"
        text = path.with_suffix(".txt")
        return Figure(
            path,
            f"{victim} ({record.who}, {record.attacker}): {record.score.meaning}{score}",
            text.read_text("utf-8") if text.is_file() else "",
        )

    def _file(self, name: str) -> Path | None:
        try:
            return inside(self.folder, name)
        except RunError:
            return None

    def _headline(self) -> str:
        unknown = self.summary.worst.get(Meaning.NOT_COMPARED, 0)
        if unknown and (said := run_headline(self.summary)):
            return f"{self.title}: {said}"
        private = [row for row in self.summary.rows if row.group != CONTROL]
        leaked, attacked = (
            sum(r.count(Meaning.LEAKED) for r in private),
            sum(r.examples for r in private),
        )
        return f"{self.title}: {leaked} of {attacked} attacks recovered private data"

    def __repr__(self) -> str:
        return f"{self._headline()}\n{self.table()}\n{self.folder}"

    def _repr_html_(self) -> str:
        return (
            f"<p><strong>{html.escape(self._headline())}</strong></p>"
            f"{self.table()._repr_html_()}<p><code>{html.escape(str(self.folder))}</code></p>"
        )


def run(
    scenario: str | Path | Mapping[str, Any] | Scenario = "quickstart",
    /,
    *,
    out: Path | str | None = None,
    engine: Literal["inline", "ray"] = "inline",
    live: bool = False,
    model: Any = None,
    data: Any = None,
    loss: Any = None,
    group_data: Mapping[str, Any] | None = None,
    dropout: bool = False,
    **overrides: Any,
) -> Run:
    """Run a scenario to its end.

    >>> import fedsim
    >>> run = fedsim.run("quickstart", federation={"rounds": 1}, out=folder)  # doctest: +SKIP

    Args:
        scenario: a bundled scenario's name, the path of a TOML file, a mapping with the tables of
            such a file, or a scenario. Tables may contain objects:
            ``{"clients": [ClientGroup(name="noisy", defenses=[GaussianNoise(std=0.1)])]}``.
        model: a module of your own, or its class or a function that returns it, in place of the
            scenario's model: see `fedsim.models.register_model`.
        data: a PyTorch or Hugging Face data set of pictures with classes, several labels, numbers
            or parts for several heads, or a pair of them for training and testing, in place of the
            scenario's: see `fedsim.data.register_data`.
        loss: a function of the model's outputs and rows of targets, such as ``torch.nn.MSELoss()``,
            or a registered loss, in place of the scenario's: see `fedsim.models.register_loss`.
        group_data: data sets like ``data`` for single client groups, by the group's name. All agree
            in the shape of their pictures and in their classes or targets.
        dropout: whether layers of dropout in a module of your own draw while clients train;
            otherwise they are off. ``F.dropout`` in its forward pass draws as the module's mode
            says. No example is called protected by an attack that does not know the draws.
        out: the run folder; a new one in ``runs`` if None.
        engine: where the clients run: in this process, or on Ray's workers.
        live: whether to show the progress, as the command line does.
        overrides: changes to the scenario: ``seed=3``, ``federation={"rounds": 2}``, or
            ``**{"clients.0.count": 8}``.

    Returns:
        The run, which has a rich display in notebooks.

    Raises:
        ScenarioError: the scenario is invalid, or has a value that cannot be recorded; the message
            names the place.
        RunError: the folder is in use, or the run could not continue.
    """
    groups: dict[int, Any] = {}
    if group_data:
        groups = positions(group_data, [g.name for g in resolved(scenario, overrides)[0].clients])
    own = own_parts(model, data, loss, dropout=dropout, groups=groups)
    if own.registered and engine != "inline":
        raise RunError(
            "a module, data set or loss of your own runs in this process only: use "
            "engine='inline', or register it in a plugin file (fedsim.load_plugin)"
        )
    checked, source = resolved(scenario, {**overrides, **own.changes})
    checked.to_toml()  # values that cannot be recorded are refused before a folder is created
    folder = new_folder(Path(source).stem) if out is None else Path(out)

    from fedsim.core.environment import prepare  # noqa: PLC0415

    prepare()
    from fedsim.api.watch import run_and_conclude  # noqa: PLC0415  (loads torch and Flower)

    if not live:
        return Run(run_and_conclude(checked, folder, engine=engine))
    from rich.console import Console  # noqa: PLC0415

    from fedsim.api.live import view_for  # noqa: PLC0415

    with view_for(Console()) as view:
        return Run(run_and_conclude(checked, folder, engine=engine, observer=view))


def resume(folder: Path | str, /, *, live: bool = False) -> Run:
    """Go on with a run that was interrupted, failed or died, to the records that it would have had.

    Finished attacks and rounds are kept. A module, data or loss of your own, and plugins, must be
    registered as they were.

    Args:
        folder: its run folder.
        live: whether to show the progress, as the command line does.

    Raises:
        RunError: there is nothing to go on with, or the run could not continue.
    """
    from fedsim.core.environment import prepare  # noqa: PLC0415

    prepare()
    from fedsim.api.watch import resume_and_conclude  # noqa: PLC0415  (loads torch and Flower)

    if not live:
        return Run(resume_and_conclude(Path(folder)))
    from rich.console import Console  # noqa: PLC0415

    from fedsim.api.live import view_for  # noqa: PLC0415

    with view_for(Console()) as view:
        return Run(resume_and_conclude(Path(folder), observer=view))


def open_run(folder: Path | str) -> Run:
    """Return a run from its folder.

    Raises:
        RunError: it is not a run folder.
    """
    found = Run(Path(folder))
    found.records  # noqa: B018  (reads them)
    return found


def resolved(
    scenario: str | Path | Mapping[str, Any] | Scenario, overrides: Mapping[str, Any]
) -> tuple[Scenario, str]:
    """Return the scenario and its name."""
    changes = settings(overrides)
    if isinstance(scenario, Scenario | Mapping):
        return Scenario.from_tables(scenario, "scenario", changes), "scenario"
    text, source = scenario_text(str(scenario))
    return Scenario.from_toml(text, source, changes), source


def _row(row: Row, accuracy: float | None) -> dict[str, Cell]:
    control = row.group == CONTROL
    return {
        "clients": row.group,
        "defense": row.defense,
        "attacker": row.attacker,
        "attacked": row.examples,
        "leaked": row.count(Meaning.LEAKED),
        "score": statistics.median(row.scores) if row.scores else None,
        "worst": max(row.scores) if row.scores else None,
        "blind": statistics.median(row.baseline) if row.baseline else None,
        "labels": row.labels_right,
        "bytes": None if row.upload_bytes is None else round(row.upload_bytes),
        "epsilon": row.epsilon,
        "accuracy": None if control else accuracy,
    }
