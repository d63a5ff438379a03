"""What a finished run rebuilt, shown in the terminal beside what was private."""

from collections.abc import Iterable
from pathlib import Path

from rich.table import Table
from rich.text import Text
from safetensors.numpy import load_file

from fedsim.core.measures import TOKENS, measure_of
from fedsim.log.files import Record, inside
from fedsim.log.summary import CONTROL
from fedsim.show.figures import Picture, PictureRow
from fedsim.show.figures.pixels import FloatImage
from fedsim.show.sentences import coloured, plain
from fedsim.show.terminal.table import STYLES

WIDTH = 14
GAP = 1


def gallery(folder: Path, records: Iterable[Record]) -> PictureRow | Table | None:
    """Return one victim of each group and attacker from the last round that has one.

    Args:
        folder: the run folder.
        records: its records.

    Returns:
        Pairs of the private picture and its reconstruction, or a table of private texts and
        theirs; None if nothing was attacked.
    """
    places: dict[str, str] = {}
    chosen: dict[tuple[str, str], Record] = {}
    for record in records:
        if record["kind"] == "reconstruction":
            places[record["victim"]] = record["tensors"]
        elif record["kind"] == "leakage" and record["image"] == 0:
            key = record["group"] or CONTROL, record["attacker"]
            if key not in chosen or record["round"] > chosen[key]["round"]:
                chosen[key] = record
    if any(measure_of(record) is TOKENS for record in chosen.values()):
        return _texts(chosen.values())
    pictures: list[Picture] = []
    for (group, attacker), record in chosen.items():
        name = group if attacker == "naive" else f"{attacker}: {group}"
        pictures += _pair(folder, places[record["victim"]], record, name)
    return PictureRow(pictures, width=WIDTH, gap=GAP) if pictures else None


def _texts(records: Iterable[Record]) -> Table:
    """Return private texts and what was rebuilt of them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    for record in records:
        who = record["group"] or CONTROL
        name = who if record["attacker"] == "naive" else f"{record['attacker']}: {who}"
        found = Text("nothing", style="dim")
        if record["found"] is not None:
            found = coloured(record["found"], record["original"])
        score = measure_of(record).of(record)
        note = record["meaning"] if score is None else f"{record['meaning']} {TOKENS.show(score)}"
        table.add_row(Text(name), Text(plain(record["original"]), style="dim"), "")
        table.add_row("", found, Text(note, style=STYLES[record["meaning"]]))
    return table


def _pair(folder: Path, place: str, record: Record, name: str) -> list[Picture]:
    tensors = load_file(inside(folder, place))
    private: FloatImage = tensors["original"][0]
    if "reconstruction" not in tensors or "matching" not in tensors:
        return [Picture(private, f"{name}\nprivate"), Picture(private * 0, "\nattack failed")]
    rebuilt: FloatImage = tensors["reconstruction"][tensors["matching"][0]]
    score = f"{record['psnr']:.0f} dB"
    return [
        Picture(private, f"{name}\nprivate"),
        Picture(rebuilt, f"{record['meaning']}\n{score}", STYLES[record["meaning"]]),
    ]
