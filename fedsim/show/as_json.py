"""Results of commands as JSON: what ``--json`` prints and ``fedsim schema`` describes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fedsim.log.results import Result
from fedsim.log.run import Run
from fedsim.log.schema import Meaning
from fedsim.log.summary import Row
from fedsim.show.comparison.tables import as_records
from fedsim.show.explain.explanation import Explanation
from fedsim.show.gaps import gaps
from fedsim.show.headline import notes_said, nothing_attacked, run_headline


def _finite(value: Any) -> Any:
    """Return a number that JSON has: None in place of an infinite one."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Figure = Annotated[float | None, AfterValidator(_finite)]


class JsonResult(BaseModel):
    """A result as JSON; keys may be added, and none changes its meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def text(self) -> str:
        """Return the JSON on one line."""
        return self.model_dump_json() + "\n"


class RowResult(JsonResult):
    """One group of clients under one attacker, over all rounds."""

    group: str
    defense: str
    attacker: str
    examples: int = Field(description="attacked examples")
    meanings: dict[str, int] = Field(description="examples by their verdict in words")
    doubts: dict[str, int] = Field(
        description="examples by the weightiest reason for not being called protected"
    )
    measure: str = Field(description="measure of scores and blind guesses, such as psnr")
    scores: list[Figure]
    blind: list[Figure] = Field(description="the best guess without any gradient, for each score")
    labels_right: Figure = Field(description="share of correct labels; null if none was assigned")
    upload_bytes: Figure = Field(description="mean size of an upload")
    epsilon: Figure = Field(description="of the client that spent most; null without a guarantee")


class RunResult(JsonResult):
    """Result of ``run``, ``leak`` and ``audit``."""

    headline: str
    status: str | None = Field(description="finished, interrupted or failed")
    leakage: Figure = Field(
        description="share of the attacked private examples that leaked, in part or fully; null if "
        "none could be compared"
    )
    possible: Figure = Field(
        description="share of the attacked that is neither protected nor nothing to leak: an "
        "attack that failed says nothing about it"
    )
    examples: dict[str, int] = Field(
        description="private examples by the verdict of the attacker who learnt most"
    )
    control: bool = Field(description="whether the positive control was reconstructed")
    accuracy: dict[int, Figure] = Field(description="of the global model on test data, by round")
    rows: list[RowResult]
    remarks: list[str]
    problems: list[str] = Field(description="unusable uploads")
    gaps: list[str] = Field(
        description="what an audit should have attacked or compared and did not; no threshold "
        "below 1 is passed then"
    )
    folder: str


class CauseResult(JsonResult):
    """A possible cause of a failed attack."""

    cause: str
    strength: float = Field(description="support by the log, from 0 to 1")
    evidence: str
    advice: str


class ExplanationResult(JsonResult):
    """Result of ``explain`` for one group of clients and attacker."""

    group: str
    attacker: str
    leaked: int
    partly: int
    examples: int
    causes: list[CauseResult] = Field(description="the likeliest first; empty if all leaked")


class ExplanationsResult(JsonResult):
    """Result of ``explain``."""

    explanations: list[ExplanationResult]
    malice: list[str] = Field(
        default=[], description="what a malicious server changed, what it got, and who noticed"
    )


class ComparisonResult(JsonResult):
    """Result of ``compare``."""

    title: str
    rows: list[dict[str, str | int | Figure]] = Field(
        description="a line of the table each: a defense, strength and attacker, with its figures"
    )
    advice: list[str] = Field(description="paragraphs of the recommendation")
    failed: list[str] = Field(description="runs that failed, and why")
    files: list[str]
    folder: str


class RehearsedResult(JsonResult):
    """Runs that take about the same time, of which one was rehearsed."""

    title: str = Field(description="of the run that was rehearsed")
    runs: int
    rounds: int
    clients: int
    parameters: int = Field(description="trained parameters of the model")
    attacked: list[int] = Field(description="attacked rounds")
    victims: int = Field(description="attacks in each of them, with the positive control")
    round_s: float = Field(description="seconds of a round of training")
    attack_s: float = Field(
        description="seconds of the attacks on a round, if no search ends early"
    )
    seconds: float = Field(description="seconds of one of these runs")
    longer: bool = Field(description="whether the attacks may take longer than that")


class DryRunResult(JsonResult):
    """Result of ``run`` and ``compare`` with ``--dry-run``."""

    title: str
    seconds: float = Field(
        description="seconds on this machine, if it is as busy as now and no search ends early"
    )
    rehearsed: list[RehearsedResult]


class EntryResult(JsonResult):
    """One entry of a kind."""

    name: str
    summary: str


class EntriesResult(JsonResult):
    """Result of ``list``."""

    entries: list[EntryResult]


def run_result(run: Run) -> RunResult:
    """Return the result of a run, in any state.

    Raises:
        RunError: the run has not recorded anything yet.
    """
    summary = run.summary
    worst = summary.worst
    unknown = (Meaning.NOT_COMPARED, Meaning.NOTHING)
    compared = sum(n for meaning, n in worst.items() if meaning not in unknown)
    leaked = worst.get(Meaning.LEAKED, 0) + worst.get(Meaning.PARTLY, 0)
    attacked = sum(worst.values())
    safe = worst.get(Meaning.PROTECTED, 0) + worst.get(Meaning.NOTHING, 0)
    return RunResult(
        headline=run_headline(summary) or nothing_attacked(summary),
        status=summary.status,
        leakage=leaked / compared if compared else None,
        possible=1 - safe / attacked if attacked else None,
        examples={meaning.value: n for meaning, n in worst.items()},
        control=summary.control is not None and not summary.control_failed,
        accuracy=dict(summary.accuracy),
        rows=[_row(row) for row in summary.rows],
        remarks=[
            *notes_said(summary),
            *(f"{victim}: no reconstruction: {why}" for victim, why in summary.failures),
        ],
        problems=[f"round {r}, client {c}: {why}" for r, c, why in summary.problems],
        gaps=gaps(run),
        folder=str(run.folder),
    )


def _row(row: Row) -> RowResult:
    return RowResult(
        group=row.group,
        defense=row.defense,
        attacker=row.attacker,
        examples=row.examples,
        meanings={meaning.value: n for meaning, n in row.meanings.items()},
        doubts={doubt.value: n for doubt, n in row.doubts.items()},
        measure=row.measure.key,
        scores=list(row.scores),
        blind=list(row.baseline),
        labels_right=row.labels_right,
        upload_bytes=row.upload_bytes,
        epsilon=row.epsilon,
    )


def explanations_result(
    explanations: Sequence[Explanation], malice: Sequence[str] = ()
) -> ExplanationsResult:
    """Return the explanations of a run's failed attacks, and the deeds of a malicious server."""
    return ExplanationsResult(
        malice=list(malice),
        explanations=[
            ExplanationResult(
                group=each.case.group,
                attacker=each.case.attacker,
                leaked=each.case.leaked,
                partly=each.case.partly,
                examples=len(each.case.leakage),
                causes=[
                    CauseResult(
                        cause=f.cause, strength=f.strength, evidence=f.evidence, advice=f.advice
                    )
                    for f in each.findings
                ],
            )
            for each in explanations
        ],
    )


def comparison_result(
    title: str,
    results: Sequence[Result],
    advice: Sequence[str],
    *,
    failed: Sequence[str],
    files: Sequence[Path],
    folder: Path,
) -> ComparisonResult:
    """Return the results of a comparison.

    Args:
        title: the comparison's.
        results: results of all finished runs.
        advice: paragraphs of the recommendation.
        failed: runs that failed, and why.
        files: the written files.
        folder: the comparison's folder.
    """
    return ComparisonResult(
        title=title,
        rows=[dict(record) for record in as_records(results)],
        advice=list(advice),
        failed=list(failed),
        files=[str(file) for file in files],
        folder=str(folder),
    )
