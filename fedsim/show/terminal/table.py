"""Table at the end of a run, and remarks for its reader."""

import statistics

from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from fedsim.log.schema import CONTROL, Meaning
from fedsim.log.summary import Row, Summary, labels_told, statistics_known
from fedsim.show.headline import attack_failed_said, control_said, notes_said, run_headline
from fedsim.show.malice import malice_said
from fedsim.show.privacy import statements

NOTHING = "–"
SHORT = {
    Meaning.PARTLY: "partly",
    Meaning.ATTACK_FAILED: "failed",
    Meaning.NOTHING: "blank",
    Meaning.UNSCORED: "unscored",
    Meaning.NOT_COMPARED: "not compared",
}
SEVERE = (Meaning.LEAKED, Meaning.PARTLY, Meaning.ATTACK_FAILED, Meaning.NOT_COMPARED)
STYLES = {
    Meaning.LEAKED: "bold red",
    Meaning.PARTLY: "yellow",
    Meaning.PROTECTED: "green",
    Meaning.ATTACK_FAILED: "magenta",
    Meaning.NOTHING: "dim",
    Meaning.UNSCORED: "dim",
    Meaning.NOT_COMPARED: "magenta",
}


MOST_NAMED = 3
"""Most victims of one reason that are named."""

NARROW = 72
"""Least columns of a terminal for a table with the sizes of uploads and the accuracy."""


LONG_WORD = 20
"""Characters of a parameter that a narrow column would break within its value."""

INTERRUPTED = (
    "The run was interrupted: attacks that had not ended count as failed, and say nothing about a "
    "defense. fedsim run --resume goes on with them."
)


def summary_table(summary: Summary, width: int = 80) -> Table:
    """Return the table at the end of a run: one row per client group and attacker.

    Args:
        summary: the run's.
        width: columns of the terminal; in a narrow one the last two columns are left out, and
            the others stand closer.
    """
    table = Table(
        title="What leaked" + (f": {said}" if (said := run_headline(summary)) else ""),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1 if width >= NARROW else 0, 0, 0),
    )
    table.add_column("clients, defense", min_width=14, overflow="fold")
    table.add_column("attacker", no_wrap=True)
    measure = summary.measure
    headings = ["leaked", f"{measure.name} / blind", "labels", "upload", "acc."]
    shown = headings if width >= NARROW else headings[:-2]
    for heading in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    accuracy = f"{summary.accuracy[max(summary.accuracy)]:.1%}" if summary.accuracy else NOTHING
    before = None
    for row in summary.rows:
        control = row.group == CONTROL
        cells = (
            Text(_leaked(row), style=_row_style(row)),
            _score(row),
            NOTHING if row.labels_right is None else f"{row.labels_right:.0%}",
            NOTHING if row.upload_bytes is None else decimal(round(row.upload_bytes)),
            NOTHING if control else accuracy,
        )
        who = _who(row) if row.group != before else ""
        table.add_row(who, row.attacker, *cells[: len(shown)])
        before = row.group
    return table


def remarks(summary: Summary) -> list[Text]:
    """Return remarks for a reader of the table, most important first."""
    lines = [Text(said, style="bold red") for said in malice_said(summary)]
    control = INTERRUPTED if summary.status == "interrupted" else control_said(summary)
    if control is not None:
        lines.append(Text(control, style="bold magenta"))
    if any(row.count(Meaning.ATTACK_FAILED) for row in summary.rows if row.group != CONTROL):
        lines.append(Text(attack_failed_said(summary.rows)))
    if summary.approximate:
        lines.append(
            Text(
                "The clients took several local steps, or normalised their batches separately, "
                "and the attack matched them as one large step: an approximation, so these "
                "figures are a lower bound on the leakage."
            )
        )
    lines += [Text(f"{group}: {said}.") for group, said in statements(summary.rows)]
    told = labels_told(summary)
    lines += [Text(told)] if told else []
    known = statistics_known(summary)
    lines += [Text(known)] if known else []
    lines += [Text(note) for note in notes_said(summary)]
    lines += [Text(f"round {r}, client {c}: not used: {why}") for r, c, why in summary.problems]
    lines += [Text(f"round {r}: no sum, the model stays: {why}") for r, why in summary.lost]
    lines += [Text(said) for said in failures_said(summary)]
    if summary.rows:
        lines.append(Text(_legend(summary), style="dim"))
    return lines


def failures_said(summary: Summary) -> list[str]:
    """Return the attacks without a reconstruction, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for victim, why in summary.failures:
        reasons.setdefault(why, []).append(victim)
    return [
        f"{', '.join(victims[:MOST_NAMED])}"
        + (f" and {more} more" if (more := len(victims) - MOST_NAMED) > 0 else "")
        + f": attack failed: {why}"
        for why, victims in reasons.items()
    ]


def _legend(summary: Summary) -> str:
    guess = "" if summary.random_label is None else f" (a blind guess: {summary.random_label:.0%})"
    measure = summary.measure
    return (
        f"leaked: {measure.leaked}. {measure.name}: {measure.statistic}, in brackets the highest, "
        "which is the worst for the client; blind: the best guess without any gradient. "
        f"labels: share that the attack found{guess}. upload: its size. acc.: "
        f"{summary.accuracy_name} of the global model."
    )


def _who(row: Row) -> Text:
    """Return the group's name with the defense below it."""
    name = Text(row.group)
    if row.group == CONTROL:
        return name
    words = (w if len(w) < LONG_WORD else w.replace("=", "= ", 1) for w in row.defense.split(" "))
    return name.append(f"\n{' '.join(words)}", style="dim")


def _leaked(row: Row) -> str:
    others = [f"{row.count(m)} {SHORT[m]}" for m in SHORT if row.count(m)]
    # One below the other: beside each other they push the last columns out of 80 characters.
    return "\n".join([f"{row.count(Meaning.LEAKED)}/{row.examples}", *others])


def _row_style(row: Row) -> str:
    for meaning in (*SEVERE, Meaning.UNSCORED, Meaning.NOTHING):
        if row.count(meaning):
            return STYLES[meaning]
    return STYLES[Meaning.PROTECTED]


def _score(row: Row) -> str:
    """Return the median, the highest score (the worst case) in brackets, and the blind guess."""
    if not row.scores:
        return NOTHING
    median, blind = statistics.median(row.scores), statistics.median(row.baseline)
    return f"{median:.0f} ({max(row.scores):.0f}) / {blind:.0f}"
