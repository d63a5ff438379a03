"""Terminal view of a dry run: what a plan would do, and its time."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from fedsim.cli.options import Output

if TYPE_CHECKING:
    from fedsim.scenario import Scenario
    from fedsim.scenario.comparison import Comparison
    from fedsim.show.as_json import DryRunResult, RehearsedResult


def rehearse_run(scenario: Scenario, output: Output) -> None:
    """Print what a run would do, and an estimate of its time.

    Args:
        scenario: the run.
        output: what is printed.

    Raises:
        FedsimError: the run could not start.
    """
    found = _rehearsed(scenario, runs=1)
    _print(_result(scenario.title, [found], found.seconds), output)


def rehearse_comparison(comparison: Comparison, jobs: int, output: Output) -> None:
    """Print what a comparison would do, and an estimate of its time.

    One of the runs that differ only in seed and defense is rehearsed for all of them, once with
    and once without a defense.

    Args:
        comparison: the comparison.
        jobs: number of runs at once.
        output: what is printed.

    Raises:
        FedsimError: a run could not start.
    """
    groups: dict[str, list[Scenario]] = {}
    for cell in comparison.runs:
        groups.setdefault(_kind(cell.scenario), []).append(cell.scenario)
    found = [_rehearsed(alike[0], runs=len(alike)) for alike in groups.values()]
    seconds = sum(each.runs * each.seconds for each in found) / jobs
    _print(_result(comparison.title, found, seconds), output)


def _kind(scenario: Scenario) -> str:
    """Return a key that is the same for runs which take about the same time."""
    table = scenario.model_dump(mode="json", exclude={"seed", "title", "description", "clients"})
    defended = any(group.defenses for group in scenario.clients)
    return json.dumps([table, defended], sort_keys=True, default=str)


def _rehearsed(scenario: Scenario, runs: int) -> RehearsedResult:
    from fedsim.engine.rehearsal import rehearse  # noqa: PLC0415
    from fedsim.show.as_json import RehearsedResult  # noqa: PLC0415

    found = rehearse(scenario)
    return RehearsedResult(
        title=scenario.title,
        runs=runs,
        rounds=found.rounds,
        clients=scenario.num_clients,
        parameters=found.parameters,
        attacked=list(found.attacked),
        victims=found.victims,
        round_s=found.round_s,
        attack_s=found.attack_s,
        seconds=found.seconds,
        longer=found.longer,
    )


def _result(title: str, rehearsed: list[RehearsedResult], seconds: float) -> DryRunResult:
    from fedsim.show.as_json import DryRunResult  # noqa: PLC0415

    return DryRunResult(title=title, seconds=seconds, rehearsed=rehearsed)


def _print(result: DryRunResult, output: Output) -> None:
    if output.as_json:
        sys.stdout.write(result.text())
        return
    from fedsim.show.headline import counted, duration  # noqa: PLC0415

    lines = [result.title]
    for each in result.rehearsed:
        runs = "" if each.runs == 1 else f"{each.runs} runs like {each.title!r}, each: "
        attacks = (
            f"{counted(len(each.attacked), 'attacked round')} with "
            f"{counted(each.victims, 'attack')}, "
            f"{'more than' if each.longer else 'about'} {duration(each.attack_s)} each"
        )
        lines.append(
            f"  {runs}{counted(each.clients, 'client')}, {counted(each.rounds, 'round')} of "
            f"{each.round_s:.1f} s, {counted(each.parameters, 'parameter')}; "
            + (attacks if each.attacked else "nothing is attacked")
        )
    most = "more than" if any(each.longer for each in result.rehearsed) else "about"
    lines.append(f"{most} {duration(result.seconds)} on this machine, as busy as it is now")
    lines.append("dry run: nothing was written")
    for line in lines:
        output.console.print(line, markup=False, highlight=False, soft_wrap=True)
