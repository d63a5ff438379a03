"""Two pixels in a cell, in the right colours, on every kind of console."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from fedsim.core.errors import DataError
from fedsim.show.figures import HalfBlocks, Picture, PictureRow

BLACK, WHITE = Color.from_rgb(0, 0, 0), Color.from_rgb(255, 255, 255)

ANY_PICTURE = hnp.arrays(
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9)),
    elements=st.floats(width=16),
)


def console(width: int = 80, color_system: str | None = "truecolor", **options: object) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color_system is not None,
        color_system=color_system,
        **options,
    )


def text_of(thing: object, on: Console) -> list[str]:
    on.print(thing)
    return on.file.getvalue().split("\n")[:-1]


def test_exact_segments() -> None:
    # Rows: white black | black black | white white (its cell has no lower pixel).
    image = np.array([[[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]])
    on = console()
    assert list(HalfBlocks(image).__rich_console__(on, on.options)) == [
        Segment("▀", Style(color=WHITE, bgcolor=BLACK)),
        Segment("▀", Style(color=BLACK, bgcolor=BLACK)),
        Segment.line(),
        Segment("▀▀", Style(color=WHITE)),
        Segment.line(),
    ]


def test_channels_keep_their_colours() -> None:
    image = np.zeros((3, 2, 1))
    image[0, 0], image[2, 1] = 1, 1
    on = console()
    (segment, _) = HalfBlocks(image).__rich_console__(on, on.options)
    assert segment.style == Style.parse("#ff0000 on #0000ff")


def test_escape_codes_fit_each_console() -> None:
    image = np.full((1, 2, 2), 0.5)
    assert "\x1b[38;2;132;132;132;48;2;132;132;132m▀▀\x1b[0m" in text_of(
        HalfBlocks(image), console()
    )
    assert "38;5;" in text_of(HalfBlocks(image), console(color_system="256"))[0]
    assert "38;2;" in text_of(HalfBlocks(image), console())[0]


@pytest.mark.parametrize(
    ("width", "columns", "lines"), [(None, 28, 14), (14, 14, 7), (40, 28, 14), (60, 56, 28)]
)
def test_size(width: int | None, columns: int, lines: int) -> None:
    drawn = text_of(HalfBlocks(np.zeros((1, 28, 28)), width), console(color_system=None))
    assert [len(line) for line in drawn] == [columns] * lines


def test_never_wider_than_the_console() -> None:
    drawn = text_of(HalfBlocks(np.zeros((1, 28, 28))), console(10, color_system=None))
    assert [len(line) for line in drawn] == [10] * 5


def test_enlarging_repeats() -> None:
    image = np.array([[[0.0, 1.0]]])
    assert text_of(HalfBlocks(image, width=5), console(color_system=None)) == ["  @@"]


def test_sixteen_colours_are_too_few_for_a_photograph() -> None:
    image = np.linspace(0, 1, 3 * 4 * 4).reshape(3, 4, 4)
    for name in ("standard", "windows"):
        drawn = text_of(HalfBlocks(image), console(color_system=name))
        assert drawn == text_of(HalfBlocks(image), console(color_system=None))


def test_shrinking_averages() -> None:
    image = np.indices((4, 4)).sum(axis=0)[None] % 2
    assert text_of(HalfBlocks(image, width=2), console(color_system=None)) == ["++"]


@pytest.mark.parametrize(
    "on",
    [
        console(color_system=None),
        console(no_color=True),
        Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), force_terminal=True),
    ],
    ids=["no colours", "NO_COLOR", "ASCII"],
)
def test_shades_without_colours_or_blocks(on: Console) -> None:
    image = np.array([[[0.0, 0.5, 1.0], [0.0, 0.5, 1.0], [1.0, 1.0, 0.0]]])
    segments = list(HalfBlocks(image).__rich_console__(on, on.options))
    assert [segment.text for segment in segments] == [" +@", "\n", "@@ ", "\n"]
    on.print(PictureRow([Picture(image, "a caption that is too long")]))


@given(ANY_PICTURE, st.integers(1, 12), st.sampled_from(["truecolor", None]))
@settings(max_examples=50, deadline=None)
def test_any_values_are_drawn(image: np.ndarray, width: int, color_system: str | None) -> None:
    on = console(color_system=color_system)
    lines = on.render_lines(HalfBlocks(image, width), pad=False)
    own = image.shape[2]
    columns = min(width, own * max(1, width // own))
    assert {Segment.get_line_length(line) for line in lines} == {columns}


def test_nan_is_grey_and_the_rest_clipped() -> None:
    on = console()
    bad = HalfBlocks(np.array([[[np.nan, np.inf, -np.inf, 7.0, -2.0]]]))
    good = HalfBlocks(np.array([[[0.5, 1.0, 0.0, 1.0, 0.0]]]))
    assert bad.lines(on, on.options) == good.lines(on, on.options)


@pytest.mark.parametrize("shape", [(28, 28), (2, 4, 4), (1, 0, 3), (1, 1, 4, 4)])
def test_not_a_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="expected one picture"):
        HalfBlocks(np.zeros(shape))


def test_recorded_as_svg() -> None:
    on = console(record=True)
    on.print(HalfBlocks(np.eye(4)[None]))
    assert "#ffffff" in on.export_svg()
