"""Reconstructions of a finished run in the terminal, beside the private data."""

from collections.abc import Iterable
from pathlib import Path

from rich.table import Table
from rich.text import Text
from safetensors.numpy import load_file

from fedsim.core.measures import PSNR, TOKENS
from fedsim.log.reader import inside, of_kind
from fedsim.log.schema import NAIVE, LeakageRecord, LogRecord, ReconstructionRecord, RunStarted
from fedsim.show.figures import Picture, PictureRow
from fedsim.show.figures.pixels import FloatImage
from fedsim.show.sentences import coloured, plain
from fedsim.show.terminal.table import STYLES

WIDTH = 14
GAP = 1


def gallery(folder: Path, records: Iterable[LogRecord]) -> PictureRow | Table | None:
    """Return one victim of each group and attacker from the last round that has one.

    Args:
        folder: the run folder.
        records: its records.

    Returns:
        Pairs of the private picture and its reconstruction, or a table of private texts and
        theirs; None if nothing was attacked.
    """
    records = list(records)
    places = {r.victim: r.tensors for r in of_kind(records, ReconstructionRecord)}
    chosen: dict[tuple[str, str], LeakageRecord] = {}
    for record in of_kind(records, LeakageRecord):
        key = record.who, record.attacker
        first = record.score.example == 0 and record.victim in places
        if first and (key not in chosen or record.round > chosen[key].round):
            chosen[key] = record
    if chosen and of_kind(records, RunStarted)[0].measure is TOKENS:
        return _texts(chosen.values())
    pictures: list[Picture] = []
    for record in chosen.values():
        pictures += _pair(folder, places[record.victim], record)
    return PictureRow(pictures, width=WIDTH, gap=GAP) if pictures else None


def _name(record: LeakageRecord) -> str:
    return record.who if record.attacker == NAIVE else f"{record.attacker}: {record.who}"


def _texts(records: Iterable[LeakageRecord]) -> Table:
    """Return private texts and their reconstructions."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    for record in records:
        score, original = record.score, record.score.original or ()
        found = Text("nothing", style="dim")
        if score.found is not None:
            found = coloured(score.found, original)
        figure = score.figure(TOKENS)
        note = score.meaning if figure is None else f"{score.meaning} {TOKENS.show(figure)}"
        table.add_row(Text(_name(record)), Text(plain(original), style="dim"), "")
        table.add_row("", found, Text(note, style=STYLES[score.meaning]))
    return table


def _pair(folder: Path, place: str, record: LeakageRecord) -> list[Picture]:
    name, figure = _name(record), record.score.figure(PSNR)
    tensors = load_file(inside(folder, place))
    private: FloatImage = tensors["original"][0]
    if "reconstruction" not in tensors or "matching" not in tensors or figure is None:
        return [Picture(private, f"{name}\nprivate"), Picture(private * 0, "\nattack failed")]
    rebuilt: FloatImage = tensors["reconstruction"][tensors["matching"][0]]
    meaning = record.score.meaning
    return [
        Picture(private, f"{name}\nprivate"),
        Picture(rebuilt, f"{meaning}\n{PSNR.show(figure)}", STYLES[meaning]),
    ]
