"""Report of one run."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedsim.log.folders import SCENARIO
from fedsim.log.run import Run, legible
from fedsim.log.schema import CONTROL, Meaning
from fedsim.log.summary import WORST_FIRST, Row, Summary, labels_told, statistics_known
from fedsim.show.headline import (
    attack_failed_said,
    control_said,
    counted,
    headline,
    notes_said,
    nothing_attacked,
)
from fedsim.show.malice import malice_said
from fedsim.show.privacy import statements
from fedsim.show.report.page import REPORT, as_csv, as_text_file, render, write_page
from fedsim.show.report.run_charts import run_charts
from fedsim.show.report.victims.cards import Attempt, Card
from fedsim.show.report.victims.odd import explained
from fedsim.show.report.words import chain, knew, simulated
from fedsim.show.threat import threat_said
from fedsim.show.view import View, view_of


def write_run(folder: Path, out: Path | None = None, *, charts: bool = True) -> Path:
    """Write the report of a run, finished or not, and return its path.

    Args:
        folder: the run folder.
        out: the file to write; by default ``report.html`` in the folder.
        charts: whether to draw charts, whose code is most of the file.

    Raises:
        RunError: it is not a run folder, or the file cannot be written.
    """
    with legible(folder):
        html = run_page(Run.read(folder), charts=charts)
    return write_page(out or folder / REPORT, html)


def run_page(run: Run, *, charts: bool = True) -> str:
    """Return the report of a run as HTML, with or without charts."""
    view = view_of(run)
    cards = [explained(run, card) for card in view.cards(run)]
    verdict = Conclusion.of(cards, run.summary, view.noun)
    rows = [_table_row(row) for row in run.summary.rows]
    return render(
        "run.html",
        seed=f"{run.scenario_text}{len(run.records)}{run.records[-1]}",
        title=run.title,
        run=run,
        summary=run.summary,
        measure=run.summary.measure,
        view=view,
        verdict=verdict,
        malice=malice_said(run.summary),
        description=run.scenario.get("description", ""),
        simulated=simulated(run.scenario, view.noun),
        knew=[*knew(run.scenario, view.noun), *threat_said(run.scenario, run.summary)],
        groups=[
            {"name": g["name"], "count": g["count"], "defenses": chain(g["defenses"])}
            for g in run.scenario.get("clients", [])
        ],
        by_group=_by_group(cards),
        cards=cards,
        choices=_choices(cards),
        rows=rows,
        privacy=statements(run.summary.rows),
        labels_told=labels_told(run.summary),
        rows_csv=as_csv([list(rows[0]), *(list(r.values()) for r in rows)]) if rows else None,
        scores_csv=_scores_csv(cards, view),
        charts=run_charts([c for c in cards if not c.unknown], run.summary) if charts else [],
        sources=run.start.sources,
        command=shown_command(run.start.command),
        scenario_file=as_text_file(run.scenario_text),
        scenario_name=SCENARIO,
    )


@dataclass(frozen=True)
class Conclusion:
    """Conclusion on a run, at the top of its report.

    Attributes:
        headline: one sentence.
        details: further sentences.
        warnings: reasons to doubt the results.
        incidents: failed uploads, sums and attacks, with reasons.
        counts: number of examples with each meaning under the strongest attacker, without zeros,
            the worst first.
    """

    headline: str
    details: list[str]
    warnings: list[str]
    incidents: list[str]
    counts: dict[Meaning, int]

    @classmethod
    def of(cls, cards: Sequence[Card], summary: Summary, nouns: tuple[str, str]) -> Conclusion:
        """Return the verdict on the attacked examples."""
        private = [c for c in cards if not c.is_control]
        counts = {m: sum(c.worst.meaning == m for c in private) for m in WORST_FIRST}
        counts = {m: n for m, n in counts.items() if n}
        headline = cls.headline_of(counts, summary, nouns)
        return cls(
            headline, _details(private, nouns), _warnings(summary), _incidents(summary), counts
        )

    @staticmethod
    def headline_of(counts: dict[Meaning, int], summary: Summary, nouns: tuple[str, str]) -> str:
        """Return the verdict as a sentence."""
        if counts:
            return headline(counts, nouns)
        if summary.failures or summary.problems:
            return "No private data were reconstructed, and nothing could be scored."
        return nothing_attacked(summary)


def _details(private: Sequence[Card], nouns: tuple[str, str]) -> list[str]:
    details = []
    leaked = [c for c in private if Meaning.LEAKED in c.meanings]
    fooled = [c for c in leaked if c.attempts[0].meaning is not Meaning.LEAKED]
    if fooled:
        details.append(
            f"{counted(len(fooled), nouns[0], nouns[1])} leaked only to an attacker who knows the "
            "defense, not to a naive one."
        )
    found = [c for c in private if c.worst.meaning in (Meaning.LEAKED, Meaning.PARTLY)]
    if found:
        most = max(found, key=lambda c: (c.worst.meaning is Meaning.LEAKED, c.worst.score or 0))
        said = most.worst.measure.told(most.worst.score or 0)
        group = "" if most.group == most.who else f" ({most.group})"
        details.append(
            f"{most.who[:1].upper()}{most.who[1:]}{group} leaked most: "
            f"{said}, where a blind guess has {most.worst.blind:.1f}."
        )
    return details


def _warnings(summary: Summary) -> list[str]:
    """Return reasons to doubt the results, most important first."""
    lines = []
    if summary.status is None:
        lines.append(
            "This run has not ended: it is still running, or it was killed. This report shows what "
            "was finished when it was written."
        )
    elif summary.status != "finished":
        why = f": {summary.error}" if summary.error else ""
        lines.append(f"This run was {summary.status}{why}. This report shows what was finished.")
    control = control_said(summary)
    if control is not None:
        lines.append(control)
    if any(row.count(Meaning.ATTACK_FAILED) for row in summary.rows if row.group != CONTROL):
        lines.append(attack_failed_said(summary.rows))
    if summary.approximate:
        lines.append(
            "Several local steps, or batches that were normalised separately, were attacked as one "
            "large step: an approximation, so the figures are a lower bound on the leakage."
        )
    known = statistics_known(summary)
    return [*lines, known] if known else lines


def _incidents(summary: Summary) -> list[str]:
    """Return remarks, and failed uploads, sums and attacks with reasons."""
    lines = [f"Round {r}, client {c}: the upload was not used: {w}" for r, c, w in summary.problems]
    lines += [f"Round {r}: no sum, the model did not change: {w}" for r, w in summary.lost]
    lines += [f"{victim}: no reconstruction: {w}" for victim, w in summary.failures]
    return [*notes_said(summary), *lines]


def _by_group(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """Return the cards in rows, one for each group."""
    groups: dict[str, list[Card]] = {}
    for card in cards:
        groups.setdefault(card.group, []).append(card)
    return [
        {"name": name, "defense": found[0].defense, "cards": found}
        for name, found in sorted(groups.items(), key=lambda item: item[0] == CONTROL)
    ]


def _choices(cards: Sequence[Card]) -> dict[str, list[str]]:
    """Return the filters of the cards with their values."""
    partitions = sorted({c.partition for c in cards if c.partition is not None})
    return {
        "client": [f"client {p}" for p in partitions],
        "round": [str(r) for r in sorted({c.server_round for c in cards})],
        "group": list(dict.fromkeys(c.group for c in cards)),
        "verdict": [m for m in WORST_FIRST if any(m in c.meanings for c in cards)],
    }


def _table_row(row: Row) -> dict[str, Any]:
    """Return a row of the table, with unrounded numbers."""
    measure, scores, blind = row.measure, row.scores, row.baseline
    return {
        "group": row.group,
        "defense": row.defense,
        "attacker": row.attacker,
        "attacked": row.examples,
        **{meaning.value: row.count(meaning) for meaning in WORST_FIRST},
        measure.named("median"): statistics.median(scores) if scores else None,
        measure.named("worst"): max(scores, default=None),
        measure.named("blind"): statistics.median(blind) if blind else None,
        "labels_right": row.labels_right,
        "upload_bytes": row.upload_bytes,
        "epsilon": row.epsilon,
    }


def _scores_csv(cards: Sequence[Card], view: View) -> str:
    victim = ("round", "partition", "group", "attacker")
    score = ("example", "meaning")
    labels = ("label", "label_found")
    effort = ("objective", "truth_objective", "evaluations")
    attempts = [a for c in cards for a in c.attempts]
    columns = _columns(attempts, view)
    rows: list[list[object]] = [[*victim, *score, *columns, *labels, *effort]]
    for attempt in attempts:
        one = attempt.leakage.score
        rows.append(
            [
                *(getattr(attempt.leakage, name) for name in victim),
                *(getattr(one, name) for name in score),
                *(one.metrics.get(name) for name in columns),
                *(getattr(one, name) for name in labels),
                *(getattr(attempt.reconstruction, name) for name in effort),
            ]
        )
    return as_csv(rows)


def _columns(attempts: Sequence[Attempt], view: View) -> list[str]:
    """Return the names of all metrics in the log, those of the view first."""
    names = {name for a in attempts for name in a.leakage.score.metrics}
    return [*view.columns, *sorted(names - set(view.columns))]


def shown_command(arguments: Sequence[str]) -> str:
    """Return the command line, with the name of the program instead of its path."""
    if not arguments:
        return ""
    return shlex.join([Path(arguments[0]).name, *map(str, arguments[1:])])


__all__ = ["Conclusion", "View", "run_page", "write_run"]
