"""Files with the tables of a comparison: CSV, Parquet, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedsim.log.results import Result
from fedsim.show.comparison.latex import as_latex
from fedsim.show.comparison.tables import Value, as_markdown, as_records
from fedsim.show.figures.files import replace_file


def write_tables(
    results: Sequence[Result], singles: Sequence[Mapping[str, Value]], title: str, folder: Path
) -> list[Path]:
    """Write ``table`` and ``victims`` in all their forms, and return the paths.

    Args:
        results: results of the comparison.
        singles: records of the single victims.
        title: title of the comparison.
        folder: the comparison's folder.
    """
    records = as_records(results)
    texts = {
        "table.csv": _csv(records),
        "table.md": as_markdown(results),
        "table.tex": as_latex(results, title),
        "victims.csv": _csv(singles),
    }
    for name, text in texts.items():
        replace_file(folder / name, text.encode("utf-8"))
    tables = {"table.parquet": records, "victims.parquet": singles}
    for name, rows in tables.items():
        _write_parquet(rows, folder / name)
    return [folder / name for name in (*texts, *tables)]


def _write_parquet(records: Sequence[Mapping[str, Value]], path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415  (takes a second to import, and --help must be quick)
    import pyarrow.parquet as pq  # noqa: PLC0415

    pq.write_table(pa.Table.from_pylist(list(records)), path)


def _csv(records: Sequence[Mapping[str, Value]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]) if records else [])
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
