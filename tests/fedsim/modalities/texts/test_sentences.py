"""Texts as people look at them."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fedsim.modalities.texts.sentences import STYLES, Mark, coloured, drawing, mark, plain

tokens = st.lists(st.sampled_from(["the", "bank", "##s", "[PAD]", "."]), max_size=8)
RIGHT, CLOSE, WRONG = Mark.RIGHT, Mark.CLOSE, Mark.WRONG


@pytest.mark.parametrize(
    ("found", "marks"),
    [
        (["the", "bank", "closed"], [RIGHT, RIGHT, RIGHT]),
        (["bank", "the", "open"], [CLOSE, CLOSE, WRONG]),
        (["the", "the", "the", "the"], [RIGHT, CLOSE, CLOSE, CLOSE]),
        (["the"], [RIGHT]),
        ([], []),
    ],
    ids=str,
)
def test_marks(found: list[str], marks: list[Mark]) -> None:
    assert mark(found, ["the", "bank", "closed"]) == marks


def test_each_mark_has_a_style() -> None:
    assert set(STYLES) == set(Mark)
    assert len(set(STYLES.values())) == 3


@given(tokens, tokens)
def test_colours_change_no_letter(found: list[str], original: list[str]) -> None:
    line = coloured(found, original)
    assert line.plain.replace(" ", "") == plain(found).replace(" ", "").replace("##", "")
    assert len(mark(found, original)) == len(found)


def test_pieces_stand_together() -> None:
    found = ["trans", "##fer", "the", "mo", "##ney"]
    assert plain(found) == coloured(found, found).plain == "transfer the money"


def test_colours_tell_right_from_wrong() -> None:
    line = coloured(["the", "rent", "bank"], ["the", "bank", "closed"])
    styles = {line.plain[s.start : s.end]: s.style for s in line.spans}
    assert styles == {"the": STYLES[RIGHT], "rent": STYLES[WRONG], "bank": STYLES[CLOSE]}


def test_tokens_are_no_markup() -> None:
    """What looks like rich's markup is shown as it is."""
    found = ["[red]", "[/]", "[MASK]", "<b>"]
    page = Console(file=io.StringIO(), width=80, color_system=None)
    page.print(coloured(found, ["[red]"]))
    assert page.file.getvalue().strip() == "[red] [/] [MASK] <b>"  # type: ignore[attr-defined]


def test_a_drawing_asks_no_server() -> None:
    console = Console(record=True, width=40, file=io.StringIO())
    console.print("</style> @font-face { } https://example.org")
    svg = drawing(console, "Mine")
    style, _, rest = svg.partition("</style>")
    assert "monospace" in style
    assert "url(" not in style
    assert "@font-face" in rest, "what was printed stays"
    assert "Mine" in rest
