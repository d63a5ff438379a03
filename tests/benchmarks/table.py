"""The table that the benchmarks write, as Markdown and as CSV."""

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

REBUILT_DB = 30.0
"""PSNR from which on a victim counts as recovered."""

FOLDER = Path(os.environ.get("FEDSIM_BENCH_OUT", "runs/benchmarks"))


@dataclass(frozen=True)
class Measured:
    """What one attack did to some victims on one device.

    Two measures stand beside each other: until 30 dB, where the benchmark stops the clock, and as
    shipped, where the attack ends by itself. ``against_loop`` is how many times as many victims a
    second are recovered as by the paper's plain loop in the same run, by each measure. A measure
    that was not taken is NaN.
    """

    attack: str
    device: str
    threads: int
    victims: int
    recovered_until_30_db: int
    recovered_as_shipped: int
    median_psnr_db: float
    first_call_s: float
    until_30_db_s: float
    as_shipped_s: float
    after_30_db_s: float
    until_30_db_s_per_recovered: float
    against_loop_until_30_db: float
    against_loop_as_shipped: float

    @classmethod
    def of(
        cls,
        attack: str,
        psnr_db: Sequence[float],
        reached: int,
        until: Sequence[float],
        shipped: Sequence[float],
        *,
        device: str,
        threads: int,
        first_call: float = float("nan"),
        loop: tuple[float, float] = (float("nan"), float("nan")),
    ) -> "Measured":
        """Return the row of an attack.

        Args:
            attack: its name.
            psnr_db: of each victim at the end.
            reached: how many victims had 30 dB at any time.
            until: seconds of each round until 30 dB, of all victims together.
            shipped: seconds of each round until the attack's own end.
            device: what it ran on.
            threads: on how many threads.
            first_call: seconds of its first call.
            loop: seconds that the plain loop took for each victim recovered, by both measures; if
                it recovered none, all its seconds, as if it had recovered one.
        """
        recovered = sum(score >= REBUILT_DB for score in psnr_db)
        first, last = median(until), median(shipped)
        each = first / reached if reached else float("inf")
        each_shipped = last / recovered if recovered else float("inf")
        return cls(
            attack, device, threads, len(psnr_db), reached, recovered, median(psnr_db), first_call,
            first, last, last - first, each, loop[0] / each, loop[1] / each_shipped,
        )  # fmt: skip

    @property
    def per_recovered(self) -> tuple[float, float]:
        """Seconds for each victim recovered, or for all if none was, by both measures."""
        first, last = max(1, self.recovered_until_30_db), max(1, self.recovered_as_shipped)
        return self.until_30_db_s / first, self.as_shipped_s / last


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
