"""Rich displays for notebooks: tables and pictures, as HTML and as text."""

from __future__ import annotations

import base64
import csv
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedsim.show.explain import Explanation

_KINDS = {".png": "image/png", ".gif": "image/gif", ".svg": "image/svg+xml"}

Cell = str | float | int | None


@dataclass(frozen=True)
class Table(Sequence[Mapping[str, Cell]]):
    """Rows with named columns and a rich display.

    ``pandas.DataFrame(table)`` accepts it.

    Attributes:
        rows: mappings from column names to cells.
        note: remark for the reader.
    """

    rows: Sequence[Mapping[str, Cell]]
    note: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Mapping[str, Cell]:  # type: ignore[override]
        return self.rows[index]

    def __iter__(self) -> Iterator[Mapping[str, Cell]]:
        return iter(self.rows)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.rows[0]) if self.rows else []

    def to_csv(self) -> str:
        """Return the table as CSV."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def __str__(self) -> str:
        lines = [self.columns, *([_shown(row[c]) for c in self.columns] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(c)}</th>" for c in self.columns)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{html.escape(_shown(row[c]))}</td>" for c in self.columns)
            + "</tr>"
            for row in self.rows
        )
        note = f"<p><small>{html.escape(self.note)}</small></p>" if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


@dataclass(frozen=True)
class Figure:
    """A picture of a run folder with its description.

    Attributes:
        path: the file: PNG, GIF or SVG.
        caption: description of the picture.
        text: alternative text for readers who cannot see it.
    """

    path: Path
    caption: str
    text: str = ""

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self.caption, self.text, str(self.path)]))

    def _repr_html_(self) -> str:
        # As an image: markup inside an SVG is never run.
        content = base64.b64encode(self.path.read_bytes()).decode()
        said = html.escape(f"{self.caption} {self.text}".strip(), quote=True)
        return (
            f'<figure><img alt="{said}" style="max-width:100%;background:#fff" '
            f'src="data:{_KINDS[self.path.suffix]};base64,{content}">'
            f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Figures(Sequence[Figure]):
    """Several pictures, one below the other."""

    figures: Sequence[Figure]

    def __len__(self) -> int:
        return len(self.figures)

    def __getitem__(self, index: int) -> Figure:  # type: ignore[override]
        return self.figures[index]

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self.figures))

    def _repr_html_(self) -> str:
        return "".join(figure._repr_html_() for figure in self.figures)


@dataclass(frozen=True)
class Explanations(Sequence["Explanation"]):
    """Explanations of a run's failed attacks, one for each group and attacker."""

    explanations: Sequence[Explanation]

    def __len__(self) -> int:
        return len(self.explanations)

    def __getitem__(self, index: int) -> Explanation:  # type: ignore[override]
        return self.explanations[index]

    def __str__(self) -> str:
        return "\n\n".join(map(_told, self.explanations)) or "No attack of this run has ended."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        blocks = (f"<p>{'<br>'.join(map(html.escape, _lines(e)))}</p>" for e in self.explanations)
        return "".join(blocks) or f"<p>{html.escape(str(self))}</p>"


def _told(explanation: Explanation) -> str:
    return "\n".join(_lines(explanation))


def _lines(explanation: Explanation) -> list[str]:
    case = explanation.case
    lines = [f"{case.group}, {case.attacker}: {case.count}"]
    for number, finding in enumerate(explanation.findings, start=1):
        lines.append(f"{number}. {finding.cause}. {finding.evidence} → {finding.advice}")
    return lines


def _shown(value: Cell) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
