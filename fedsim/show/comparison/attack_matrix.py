"""Attacks against defenses as a table: in a terminal, as Markdown, CSV and a heat map."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from fedsim.log.attack_matrix import Pairing
from fedsim.log.schema import NO_DEFENSE, Meaning
from fedsim.show.comparison.check_table import CHECK_LEGEND, check_csv, check_rows
from fedsim.show.privacy import upper
from fedsim.show.terminal.table import NOTHING

WORDS = {
    Meaning.LEAKED: "leaked",
    Meaning.PARTLY: "partly",
    Meaning.ATTACK_FAILED: "failed",
    Meaning.UNSCORED: "unread",
    Meaning.NOT_COMPARED: "unknown",
    Meaning.NOTHING: "nothing",
    Meaning.PROTECTED: "protected",
}
"""Short word for the worst meaning in a cell."""

STYLES = {
    Meaning.LEAKED: "bold red",
    Meaning.PARTLY: "yellow",
    Meaning.ATTACK_FAILED: "magenta",
    Meaning.UNSCORED: "magenta",
    Meaning.PROTECTED: "green",
}

REFUSED = "refused"

NAME_WIDTH = 14
"""Maximum width of the names of defenses in a terminal, so that seven attacks fit beside them."""

MATRIX_LEGEND = (
    "leaked: something is recognisable. failed: the attack failed, which is not protection. "
    "unread: there is no reconstruction. refused: the clients did not answer the attack. "
    "share: recovered of a batch without a defense, beside what the server expected. changed: "
    "accuracy of the changed model, not that of the honest one. accuracy: of the global model "
    "at the end, by defense the mean over the attacks. noticed by: checks of clients with a "
    "changed model."
)
DPI = 120


@dataclass(frozen=True)
class Cell:
    """Text of an attack against a defense.

    Attributes:
        lines: what is shown, one or two lines.
        meaning: worst meaning of an example, or None if none was attacked.
        share: share of the examples that were recovered, or None without any.
        note: reason for a missing run, or None.
    """

    lines: tuple[str, ...]
    meaning: Meaning | None
    share: float | None
    note: str | None = None


@dataclass(frozen=True)
class AttackMatrix:
    """Attacks in columns against defenses in rows.

    Attributes:
        attacks: names of the attacks.
        defenses: names of the defenses.
        pairings: results of each attack against each defense, by their names.
    """

    attacks: tuple[str, ...]
    defenses: tuple[str, ...]
    pairings: dict[tuple[str, str], Pairing]

    @classmethod
    def of(cls, found: Sequence[Pairing]) -> AttackMatrix:
        """Return the table of all pairings."""
        return cls(
            tuple(dict.fromkeys(m.attack for m in found)),
            tuple(dict.fromkeys(m.defense for m in found)),
            {(m.attack, m.defense): m for m in found},
        )

    def row(self, defense: str) -> list[Pairing]:
        """Return the results of each attack against a defense."""
        return [self.pairings[attack, defense] for attack in self.attacks]

    def column(self, attack: str) -> list[Pairing]:
        """Return the results of an attack against each defense."""
        return [self.pairings[attack, defense] for defense in self.defenses]

    def undefended(self, attack: str) -> Pairing:
        """Return the result of an attack without a defense, or against the first of the grid."""
        return self.pairings.get((attack, NO_DEFENSE), self.column(attack)[0])

    @property
    def notes(self) -> list[str]:
        """Reasons for missing runs, each once."""
        return list(dict.fromkeys(m.problem for m in self.pairings.values() if m.problem))

    def cell(self, pairing: Pairing) -> Cell:
        """Return the text of an attack against a defense."""
        if pairing.problem:
            mark = f"{NOTHING} [{self.notes.index(pairing.problem) + 1}]"
            return Cell((mark,), None, None, pairing.problem)
        if not pairing.asked:
            return Cell((REFUSED,), None, None)
        worst = pairing.worst
        lines = [f"{pairing.recovered}/{pairing.asked}", WORDS[worst] if worst else NOTHING]
        if pairing.refused:
            lines.append(f"{pairing.refused} {REFUSED}")
        return Cell(tuple(lines), worst, pairing.share)


def terminal_matrix(found: Sequence[Pairing]) -> list[Table | Text]:
    """Return the tables of attacks against defenses for a terminal; nothing without attacks."""
    if not found:
        return []
    matrix = AttackMatrix.of(found)
    measure = next((m.measure for m in found if m.measure), None)
    things = measure.things if measure else "examples"
    least = f" ({measure.recovered_name})" if measure else ""
    got = _table(f"{things} recovered{least} of those attacked, and the worst verdict")
    got.add_column("defense", width=min(NAME_WIDTH, max(map(len, matrix.defenses))))
    for attack in matrix.attacks:
        got.add_column(attack, justify="right", overflow="fold")
    for defense in matrix.defenses:
        cells = [matrix.cell(m) for m in matrix.row(defense)]
        got.add_row(defense, *(_text(c) for c in cells))
    notes = [Text(note, style="dim") for note in notes_said(matrix)]
    tables = [_words(*attack_rows(matrix)), _words(*defense_rows(matrix))]
    heads, rows = check_rows(found)
    if rows:
        return [got, *notes, *tables, _words(heads, rows), Text(CHECK_LEGEND, style="dim")]
    return [got, *notes, *tables]


def attack_rows(matrix: AttackMatrix) -> tuple[list[str], list[list[str]]]:
    """Return headings, and a row for each attack: its reach, its cost, and who noticed it."""
    heads = ["attack", "share", "expected", "changed", "accuracy", "noticed by"]
    rows = []
    for attack in matrix.attacks:
        plain = matrix.undefended(attack)
        rows.append(
            [
                attack,
                NOTHING if plain.share is None else f"{plain.share:.0%}",
                NOTHING if plain.expected is None else f"{plain.expected:.0%}",
                NOTHING
                if plain.changed is None
                else f"{plain.changed[0]:.0%} not {plain.changed[1]:.0%}",
                NOTHING if plain.accuracy is None else f"{plain.accuracy:.0%}",
                ", ".join(noticed_by(matrix, attack)) or ("nobody" if plain.receivers else NOTHING),
            ]
        )
    return heads, rows


def noticed_by(matrix: AttackMatrix, attack: str) -> list[str]:
    """Return the checks that noticed an attack, with the share of the clients if not all did."""
    best: dict[str, float] = {}
    for pairing in matrix.column(attack):
        for check, clients in pairing.noticed.items():
            best[check] = max(best.get(check, 0.0), clients / max(1, pairing.receivers))
    return [c if share >= 1 else f"{c} ({share:.0%})" for c, share in best.items()]


def defense_rows(matrix: AttackMatrix) -> tuple[list[str], list[list[str]]]:
    """Return headings, and a row for each defense: its cost, its guarantee and its false alarms."""
    heads = ["defense", "accuracy", "ε", "false alarms, of honest models checked"]
    rows = []
    for defense in matrix.defenses:
        row = [m for m in matrix.row(defense) if m.problem is None]
        known = [m.accuracy for m in row if m.accuracy is not None]
        spent = [m.epsilon for m in row if m.epsilon is not None]
        checked = sum(m.checked for m in row)
        rows.append(
            [
                defense,
                f"{sum(known) / len(known):.0%}" if known else NOTHING,
                f"≤ {upper(max(spent))}" if spent else NOTHING,
                f"{sum(m.alarms for m in row)} of {checked}" if checked else NOTHING,
            ]
        )
    return heads, rows


def write_matrix(found: Sequence[Pairing], folder: Path) -> list[Path]:
    """Write ``attacks.csv`` and ``attacks.png``, and ``checks.csv`` if clients have checks.

    Returns:
        their paths.
    """
    matrix = AttackMatrix.of(found)
    table, picture = folder / "attacks.csv", folder / "attacks.png"
    table.write_text(matrix_csv(found), "utf-8")
    draw_heat_map(matrix, picture)
    files = [table, picture]
    if check_rows(found)[1]:
        checks = folder / "checks.csv"
        checks.write_text(check_csv(found), "utf-8")
        files.append(checks)
    return files


def matrix_csv(found: Sequence[Pairing]) -> str:
    """Return a line for each attack against each defense, with all figures."""
    text = io.StringIO()
    records = [_record(m) for m in found]
    writer = csv.DictWriter(text, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def matrix_markdown(found: Sequence[Pairing]) -> str:
    """Return the tables of all attacks as Markdown."""
    matrix = AttackMatrix.of(found)
    first = [[d, *(" ".join(matrix.cell(m).lines) for m in matrix.row(d))] for d in matrix.defenses]
    tables = [(["defense", *matrix.attacks], first), attack_rows(matrix), defense_rows(matrix)]
    tables += [check_rows(found)] if check_rows(found)[1] else []
    parts: list[str] = [
        tabulate(
            [[c.replace("|", r"\|") for c in row] for row in rows],
            headers=heads,
            tablefmt="github",
            disable_numparse=True,
        )
        for heads, rows in tables
    ]
    return "\n\n".join([*parts, *notes_said(matrix)])


def notes_said(matrix: AttackMatrix) -> list[str]:
    """Return the reasons for missing runs, numbered as in the cells."""
    return [f"[{number}] {why}" for number, why in enumerate(matrix.notes, start=1)]


def draw_heat_map(matrix: AttackMatrix, path: Path) -> None:
    """Draw the share that each attack recovered from clients with each defense."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (takes seconds to import)

    cells = [[matrix.cell(m) for m in matrix.row(defense)] for defense in matrix.defenses]
    figure = Figure(
        figsize=(2.5 + 1.1 * len(matrix.attacks), 1 + 0.5 * len(matrix.defenses)),
        layout="constrained",
    )
    axis = figure.subplots()
    shares = [[float("nan") if c.share is None else c.share for c in row] for row in cells]
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Reds", aspect="auto")
    axis.set_facecolor("#eeeeee")
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            dark = cell.share is not None and cell.share > 0.6
            axis.text(
                x, y, "\n".join(cell.lines), ha="center", va="center", fontsize=7,
                color="white" if dark else "black", parse_math=False,
            )  # fmt: skip
    axis.set_xticks(range(len(matrix.attacks)), matrix.attacks, parse_math=False)
    axis.set_yticks(range(len(matrix.defenses)), matrix.defenses, parse_math=False)
    axis.xaxis.tick_top()
    figure.colorbar(image, label="share of the attacked examples recovered")
    figure.savefig(path, dpi=DPI)


def _record(m: Pairing) -> dict[str, str | int | float | None]:
    return {
        "attack": m.attack,
        "defense": m.defense,
        "recovered": m.recovered,
        "asked": m.asked,
        "share": m.share,
        **{str(meaning): m.meanings.get(meaning, 0) for meaning in Meaning},
        "expected": m.expected,
        "changed_accuracy": None if m.changed is None else m.changed[0],
        "honest_accuracy": None if m.changed is None else m.changed[1],
        "accuracy": m.accuracy,
        "refused": m.refused,
        "noticed_by": " ".join(m.noticed),
        "receivers": m.receivers,
        "checked": m.checked,
        "false_alarms": m.alarms,
        "epsilon": m.epsilon,
        "problem": m.problem,
    }


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )


def _words(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = _table("")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        # One name below the other: a line between two hyphens is hard to read.
        table.add_row(
            *(Text(text.replace(", ", "\n") if i else text) for i, text in enumerate(row))
        )
    return table


def _text(cell: Cell) -> Text:
    style = "dim" if cell.note else STYLES.get(cell.meaning, "") if cell.meaning else "green"
    return Text("\n".join(cell.lines), style=style)
