"""The table that the benchmarks write, as Markdown and as CSV."""

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

FOLDER = Path(os.environ.get("FEDSIM_BENCH_OUT", "runs/benchmarks"))


@dataclass(frozen=True)
class Measured:
    """What one attack did to some victims on one device, medians over the rounds.

    ``per_recovered`` is seconds for each victim recovered and ``recovered_per_second`` the
    inverse; ``against_loop`` is how many times as many victims a second are recovered as by the
    paper's plain loop in the same run.
    """

    attack: str
    device: str
    threads: int
    victims: int
    recovered: int
    share: float
    median_psnr_db: float
    seconds: float
    per_recovered: float
    recovered_per_second: float
    against_loop: float

    @classmethod
    def of(
        cls,
        attack: str,
        psnr_db: Sequence[float],
        seconds: Sequence[float],
        *,
        device: str,
        threads: int,
        loop_per_recovered: float,
        rebuilt_db: float = 30.0,
    ) -> "Measured":
        """Return the row of an attack.

        Args:
            attack: its name.
            psnr_db: of each victim.
            seconds: of each round, on all victims.
            device: what it ran on.
            threads: on how many threads.
            loop_per_recovered: seconds that the plain loop took for each victim recovered; if it
                recovered none, all its seconds, as if it had recovered one.
            rebuilt_db: from how much on a victim counts as recovered.
        """
        recovered = sum(score >= rebuilt_db for score in psnr_db)
        took = median(seconds)
        each = took / recovered if recovered else float("inf")
        return cls(
            attack, device, threads, len(psnr_db), recovered, recovered / len(psnr_db),
            median(psnr_db), took, each, 1 / each, loop_per_recovered / each,
        )  # fmt: skip


def write_table(name: str, rows: Sequence[object], folder: Path = FOLDER) -> str:
    """Write dataclass rows to ``<name>.md`` and ``<name>.csv`` and return the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [asdict(row) for row in rows]  # type: ignore[call-overload]
    columns = [f.name for f in fields(rows[0])]  # type: ignore[arg-type]
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(records)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_shown(r[c]) for c in columns) + " |" for r in records]
    text = "\n".join(lines) + "\n"
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return text


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
