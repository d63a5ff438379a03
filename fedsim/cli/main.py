"""The command line. Commands import their dependencies when they run, so that help is quick."""

from __future__ import annotations

import errno
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from click.core import ParameterSource
from rich.console import Console

from fedsim.cli.audit import audit
from fedsim.cli.dry_run import rehearse_comparison, rehearse_run
from fedsim.cli.export import export
from fedsim.cli.leak import leak
from fedsim.cli.options import (
    AsJson,
    DryRun,
    Engine,
    EngineChoice,
    OnDevice,
    Out,
    Output,
    Overrides,
    Plugins,
    Quiet,
    RayAddress,
    Verbose,
    told_in_one_line,
)
from fedsim.cli.reference import init, list_, schema, show
from fedsim.cli.run_view import go_on, watch
from fedsim.core.environment import prepare
from fedsim.core.errors import FedsimError
from fedsim.core.signals import ended_as_interrupts
from fedsim.core.text import escaped
from fedsim.core.version import __version__
from fedsim.log.folders import new_folder

FAILED = 1
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of a disk that is full or cannot be written, which are no faults of fedsim."""

app = typer.Typer(
    name="fedsim",
    help="See what federated learning reveals: real Flower rounds with a curious server inside.",
    epilog="Exit codes: 0 done; 1 it failed, and why is told; 2 wrong usage; 3 and 4 by "
    "--fail-above of audit: more leaked, or no evidence; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(  # noqa: PLR0913, PLR0917  (each is an option of its own)
    context: typer.Context,
    scenario: Annotated[
        str, typer.Argument(help="A bundled scenario (see: fedsim list scenarios), or a TOML file.")
    ] = "quickstart",
    overrides: Overrides = None,
    engine: Engine = EngineChoice.INLINE,
    ray_address: RayAddress = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the scenario's.")] = None,
    out: Out = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Go on with a run that was interrupted, failed or died, instead of a new one. "
            "What was finished is kept; its scenario and its engine are used again.",
        ),
    ] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
    device: OnDevice = None,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Run federated rounds with the adversary inside, and show the leakage."""
    output = Output(as_json=as_json, quiet=quiet)
    if resume is not None:
        for other in ("scenario", "overrides", "engine", "seed", "out", "dry_run"):
            if context.get_parameter_source(other) is not ParameterSource.DEFAULT:
                raise typer.BadParameter(
                    f"--resume {resume} has its own scenario, engine and folder: leave {other} out"
                )
        go_on(resume, output)
        return
    from fedsim.scenario import load_scenario  # noqa: PLC0415

    if ray_address is not None:
        engine = EngineChoice.RAY
    texts = list(overrides or []) + ([] if seed is None else [f"seed={seed}"])
    plan = load_scenario(scenario, texts)
    if dry_run:
        rehearse_run(plan, output)
    else:
        watch(plan, Path(scenario).stem, engine, out, output)


app.command()(leak)


@app.command()
def compare(  # noqa: PLR0913, PLR0917  (each is an option of its own)
    comparison: Annotated[
        str,
        typer.Argument(help="A bundled comparison (see: fedsim list comparisons), or a TOML file."),
    ] = "compare-paper",
    overrides: Overrides = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(
            "--seed", help="A seed besides the comparison's own. Can be given several times."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Number of runs at once; more than one run in Ray's workers.")
    ] = 1,
    ray_address: RayAddress = None,
    open_: Annotated[
        bool,
        typer.Option(
            "--open", help="Open the report in the browser, where it follows the comparison."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The comparison's folder: new, empty, or that of a comparison to continue.  "
            r"\[default: runs/<time>-<comparison>]"
        ),
    ] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
    device: OnDevice = None,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Compare defenses: leakage, accuracy and bytes, for naive and adaptive attackers."""
    from fedsim.scenario.comparison import Comparison, load_comparison  # noqa: PLC0415

    plan = load_comparison(comparison, overrides or [])
    if seeds:
        every = list(dict.fromkeys([*plan.seeds, *seeds]))
        plan = Comparison.from_tables(plan, comparison, [("seeds", every)])
    from fedsim.cli.compare_view import watch_comparison  # noqa: PLC0415

    output = Output(as_json=as_json, quiet=quiet)
    if dry_run:
        rehearse_comparison(plan, jobs, output)
        return
    folder = out if out is not None else new_folder(Path(comparison).stem)
    if ray_address is not None:  # which runs as many at once as it has CPUs
        jobs = max(jobs, 2)
    if not watch_comparison(plan, folder, jobs, output, follows=open_):
        sys.exit(FAILED)


app.command()(audit)


@app.command()
def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run folder, a comparison's folder, or a folder that contains several of them.",
        ),
    ],
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help=r"The file to write.  \[default: report.html or index.html in the folder]"
        ),
    ] = None,
    charts: Annotated[
        bool,
        typer.Option(help="Draw charts; without them the file is a fifth of the size, for mail."),
    ] = True,
    plugins: Plugins = None,
) -> None:
    """Write a run's report, or an index over many runs: one HTML file that works offline."""
    from fedsim.show.report.write import write_report  # noqa: PLC0415

    path = write_report(folder, out, charts=charts)
    Console().print(str(path), markup=False, highlight=False, soft_wrap=True)
    if open_:
        import webbrowser  # noqa: PLC0415

        webbrowser.open(path.resolve().as_uri())


@app.command()
def explain(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Explain why an attack failed: the most likely causes, their evidence, and remedies."""
    from fedsim.log.run import Run  # noqa: PLC0415
    from fedsim.show.explain import explain as explanations  # noqa: PLC0415
    from fedsim.show.explain.terminal import show  # noqa: PLC0415
    from fedsim.show.malice import malice_said  # noqa: PLC0415

    found = explanations(folder)
    malice = malice_said(Run.read(folder).summary)
    if as_json:
        from fedsim.show.as_json import explanations_result  # noqa: PLC0415

        sys.stdout.write(explanations_result(found, malice).text())
    else:
        show(found, Console(), malice)


@app.command("audit-privacy")
def audit_privacy(
    scenario: Annotated[
        str, typer.Argument(help="A bundled scenario (see: fedsim list scenarios), or a TOML file.")
    ],
    overrides: Overrides = None,
    plugins: Plugins = None,
) -> None:
    """Measure the epsilon of the clients' defenses with canaries, beside the claimed one."""
    from fedsim.api.audits import audit_privacy as audit  # noqa: PLC0415
    from fedsim.scenario import load_scenario  # noqa: PLC0415
    from fedsim.show.privacy import audited, guarantee, robustness  # noqa: PLC0415

    console = Console()
    found = audit(load_scenario(scenario, list(overrides or [])))
    for group, spent in found.items():
        parts = (guarantee(spent), audited(spent), robustness(spent))
        said = "; ".join(part for part in parts if part)
        console.print(f"{group}: {said}", markup=False, highlight=False, soft_wrap=True)
    if not found:
        console.print("no client group has a mechanism of differential privacy (local-dp, dp-sgd)")


@app.command()
def lesson(
    number: Annotated[
        int | None, typer.Argument(help="Number of the lesson; if omitted, list all lessons.")
    ] = None,
    ask: Annotated[
        bool,
        typer.Option("--ask/--no-ask", help="Wait for answers, or show the right ones."),
    ] = True,
    notebook: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the lesson as a Jupyter notebook instead."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run the lesson and write a page for teachers instead."),
    ] = None,
    out: Out = None,
) -> None:
    """Take a lesson: predict, run, inspect, answer."""
    console = Console()
    from fedsim.lessons.terminal import contents, take, write_page  # noqa: PLC0415

    if number is None:
        contents(console)
    elif notebook is not None:
        from fedsim.lessons.notebook import write_notebook  # noqa: PLC0415

        console.print(str(write_notebook(number, notebook)), markup=False, soft_wrap=True)
    elif teacher is not None:
        console.print(str(write_page(number, teacher, out)), markup=False, soft_wrap=True)
    else:
        take(number, console, ask=ask and sys.stdin.isatty(), out=out)


app.command()(export)
app.command()(init)
app.command("list")(list_)
app.command()(show)
app.command()(schema)


def _version(wanted: bool) -> None:
    if wanted:
        Console().print(f"fedsim {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """See what federated learning reveals: real Flower rounds with a curious server inside."""


def main() -> None:
    """Run the command line; the entry point of the ``fedsim`` command."""
    prepare()
    warnings.showwarning = told_in_one_line(warnings.showwarning)
    try:
        with ended_as_interrupts():
            app()
    except FedsimError as error:
        _fail(escaped(str(error)))
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _fail(f"{error.strerror}: {escaped(str(error.filename or 'a file'))}")


def _fail(reason: str) -> None:
    Console(stderr=True).print(f"error: {reason}", style="red", markup=False, soft_wrap=True)
    sys.exit(FAILED)
