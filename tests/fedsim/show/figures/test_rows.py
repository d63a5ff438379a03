"""Pictures side by side stay within their region and say what they left out."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.layout import Layout
from rich.panel import Panel

from fedsim.show.figures import FittedRow, Picture, PictureRow

WHITE = np.ones((1, 4, 4))


def drawn(thing: object, width: int, height: int | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(thing)
    return console.file.getvalue().split("\n")[:-1]


def test_side_by_side_with_captions() -> None:
    pictures = [Picture(WHITE, "one\n12.3 dB"), (np.ones((1, 8, 6)), "two", "bold green")]
    assert drawn(PictureRow(pictures), 40) == [
        " @@@@    @@@@@@",
        " @@@@    @@@@@@",
        "         @@@@@@",
        "         @@@@@@",
        "  one     two  ",
        "12.3 dB        ",
    ]


def test_wraps_within_the_width() -> None:
    lines = drawn(PictureRow([Picture(WHITE)] * 5), 17)
    assert lines == ["@@@@  @@@@  @@@@"] * 2 + [""] + ["@@@@  @@@@"] * 2


def test_pairs_stay_in_one_row_where_they_fit() -> None:
    pairs = PictureRow([Picture(WHITE)] * 4, together=2)
    assert drawn(pairs, 17) == ["@@@@  @@@@"] * 2 + [""] + ["@@@@  @@@@"] * 2
    assert drawn(pairs, 9) == (["@@@@"] * 2 + [""]) * 3 + ["@@@@"] * 2
    fitted = FittedRow([Picture(WHITE)] * 6, smallest=4, largest=8, lines=5, together=2)
    assert drawn(fitted, 26) == ["  ".join(["@@@@"] * 4)] * 2 + [""] + ["@@@@  @@@@"] * 2


def test_counts_what_max_lines_leave_out() -> None:
    lines = drawn(PictureRow([Picture(WHITE)] * 5, max_lines=4), 10)
    assert lines == ["@@@@  @@@@"] * 2 + ["+3 more"]


@pytest.mark.parametrize(("height", "rows", "note"), [(8, 3, []), (7, 2, ["+1 more"])])
def test_fits_the_region_of_a_layout(height: int, rows: int, note: list[str]) -> None:
    lines = [line.rstrip() for line in drawn(Layout(PictureRow([Picture(WHITE)] * 3)), 8, height)]
    assert lines.count("@@@@") == 2 * rows
    assert [line for line in lines if "more" in line] == note


def test_one_row_at_least() -> None:
    row = PictureRow([Picture(WHITE)] * 3, max_lines=0)
    assert drawn(row, 8) == ["@@@@"] * 2 + ["+2 more"]


def test_shrinks_to_the_width_asked() -> None:
    assert drawn(PictureRow([Picture(WHITE)], width=2), 40) == ["@@"]


def test_nothing_to_draw() -> None:
    assert drawn(PictureRow([]), 40) == []


def test_captions_are_told_in_full_and_harmless() -> None:
    lines = drawn(PictureRow([Picture(WHITE, "[red]markup[/red] and more"), Picture(WHITE)]), 40)
    assert [line[:12].strip() for line in lines[2:]] == ["[red]markup[", "/red] and", "more"]
    assert "\x07" not in "".join(drawn(PictureRow([Picture(WHITE, "bell\x07")]), 40))


def test_two_captions_with_one_beginning_differ_on_the_screen() -> None:
    """As `adaptive: pruning 0.1` and `adaptive: pruning 0.7` do, whatever the width is."""
    names = ["adaptive: pruning 0.1", "adaptive: pruning 0.7"]
    for width in (26, 60, 80, 200):
        row = PictureRow([Picture(WHITE, name) for name in names])
        shown = " ".join(" ".join(drawn(row, width)).split())
        assert "0.1" in shown
        assert "0.7" in shown
        assert "…" not in shown


@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12), st.text(max_size=20)), max_size=6),
    st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_never_wider_than_the_console(sizes: list[tuple[int, int, str]], width: int) -> None:
    row = PictureRow([Picture(np.ones((1, h, w)), text) for h, w, text in sizes])
    assert all(cell_len(line) <= width for line in drawn(row, width))
    panel = drawn(Panel(row), width + 6)
    assert all(cell_len(line) <= width + 6 for line in panel)


def test_pictures_are_as_large_as_there_is_room() -> None:
    pictures = [Picture(np.ones((1, 28, 28)), "one\nnaive\n20 dB")] * 6
    sizes = {}
    for width, height in ((60, 24), (80, 24), (120, 40), (200, 50)):
        row = FittedRow(pictures, smallest=12, largest=96, lines=height)
        lines = drawn(row, width, height)
        assert len(lines) <= height
        sizes[width] = row.fits(width, height)
        assert "more" not in lines[-1]
    assert sizes == {60: 16, 80: 16, 120: 55, 200: 55}  # from 28 to 55, one column for each pixel


def test_the_first_ones_are_drawn_where_there_is_no_room_for_all() -> None:
    pictures = [Picture(np.ones((1, 28, 28)), str(number)) for number in range(9)]
    row = FittedRow(pictures, smallest=12, largest=96, lines=8)
    assert row.fits(30, 8) is None
    lines = drawn(row, 30, 8)
    assert len(lines) <= 8
    assert lines[-1] == "+7 more"


def test_a_picture_is_enlarged_by_whole_times() -> None:
    assert (
        drawn(FittedRow([Picture(np.ones((1, 2, 2)))], smallest=2, largest=5), 40) == ["@" * 4] * 2
    )
