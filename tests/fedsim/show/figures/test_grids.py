"""Figures show every picture whole and every text in its place."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fedsim.core.errors import DataError
from fedsim.show.figures import grid, strip
from fedsim.show.figures.canvas import Canvas
from fedsim.show.figures.text import LINE_HEIGHT, legible, width_of, wrap

LABEL = st.text(st.characters(codec="utf-8"), max_size=40)
SIZE = st.tuples(st.integers(1, 40), st.integers(1, 40))


def noise(seed: int, channels: int = 3, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).random((channels, height, width))


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    pixels = np.rint(image * 255).astype(np.uint8).repeat(scale, 1).repeat(scale, 2)
    return np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)


def holds(figure: Image.Image, pixels: np.ndarray) -> bool:
    """Whether the figure holds exactly these pixels somewhere."""
    page = np.asarray(figure)
    height, width = pixels.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(page, (height, width), axis=(0, 1))
    starts = np.argwhere((windows[..., 0, 0] == pixels[0, 0]).all(axis=2))
    return any((page[y : y + height, x : x + width] == pixels).all() for y, x in starts)


def test_pictures_are_sharp_and_whole() -> None:
    rows = [[noise(0), noise(1, channels=1)], [noise(2, height=5), None]]
    labels = ["a label that is far too long " * 4, "row 2"]
    figure = grid(rows, labels, ["first " * 9, "2"], 3, [["20 dB", "x" * 99], ["1", "2"]])
    for image in (noise(0), noise(1, channels=1), noise(2, height=5)):
        assert holds(figure, enlarged(image, 3))


class Recorder:
    """Notes the boxes that a figure draws into."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures: list[tuple[int, int, int, int]] = []
        self.texts: list[tuple[int, int, int, int]] = []
        self.page = (0, 0)
        monkeypatch.setattr(Canvas, "__init__", self.start)
        monkeypatch.setattr(Canvas, "picture", self.picture)
        monkeypatch.setattr(Canvas, "missing", self.missing)
        monkeypatch.setattr(Canvas, "text", self.text)
        monkeypatch.setattr(Canvas, "page", None, raising=False)

    def start(self, width: int, height: int) -> None:
        self.page = (width, height)

    def picture(self, image: Image.Image, left: int, top: int, *, framed: bool = False) -> None:
        line = 5 if framed else 1
        right, bottom = left + image.width + line, top + image.height + line
        self.pictures.append((left - line, top - line, right, bottom))

    def missing(self, _: str, left: int, top: int, size: tuple[int, int]) -> None:
        self.pictures.append((left, top, left + size[0], top + size[1]))

    def text(self, lines: list[str], left: int, top: int, width: int, **_: bool) -> None:
        assert all(width_of(line) <= width for line in lines)
        self.texts.append((left, top, left + width, top + len(lines) * LINE_HEIGHT))

    def check(self) -> None:
        boxes = self.pictures + self.texts
        for left, top, right, bottom in boxes:
            assert 0 <= left <= right <= self.page[0]
            assert 0 <= top <= bottom <= self.page[1]
        for a, b in combinations(boxes, 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@given(
    st.lists(
        st.lists(
            st.none() | st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 4),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_nothing_overlaps(
    sizes: list[list[tuple[int, int] | None]], scale: int, data: st.DataObject
) -> None:
    def labels(count: int) -> list[str]:
        return data.draw(st.just([]) | st.lists(LABEL, min_size=count, max_size=count))

    rows = [[None if size is None else np.ones((1, *size)) for size in row] for row in sizes]
    captions = [labels(len(row)) for row in rows]
    with pytest.MonkeyPatch.context() as monkeypatch:
        recorder = Recorder(monkeypatch)
        grid(rows, labels(len(rows)), labels(max(map(len, rows))), scale, captions)
        recorder.check()


def test_nothing_overlaps_in_a_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    strip([(noise(i), f"{i} evaluations\nof 100") for i in range(12)], noise(99))
    recorder.check()
    assert len(recorder.pictures) == 13


def test_strip_ends_with_the_original() -> None:
    original = noise(5)
    figure = strip([(noise(i), str(i)) for i in range(3)], original, scale=2)
    page = np.asarray(figure)
    last = page[:, -figure.height :]
    assert holds(Image.fromarray(np.ascontiguousarray(last)), enlarged(original, 2))


def test_missing_pictures_and_bad_values() -> None:
    figure = grid([[None, np.full((1, 2, 2), np.nan)], [np.full((3, 4, 1), np.inf)]])
    assert figure.mode == "RGB"
    assert grid([[None]]).size == grid([[None]], captions=[[]]).size


@pytest.mark.parametrize(
    ("rows", "labels"),
    [([], {}), ([[]], {})]
    + [([[None]], {name: ["a", "b"]}) for name in ("row_labels", "column_labels")]
    + [([[None]], {"captions": [["a", "b"]]}), ([[None]], {"captions": [["a"], ["b"]]})],
)
def test_labels_must_match(rows: list[list[None]], labels: dict[str, list[str]]) -> None:
    with pytest.raises(DataError, match="expected"):
        grid(rows, **labels)


@given(LABEL, st.integers(30, 200), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_wrapped_text_fits(text: str, width: int, max_lines: int) -> None:
    lines = wrap(text, width, max_lines)
    assert 1 <= len(lines) <= max_lines
    assert all(width_of(line) <= width for line in lines)


def test_what_the_font_lacks_has_stand_ins() -> None:
    assert legible("\u03c3 ≥ 1e-3 \u00d7 é — 中") == "sigma >= 1e-3 x e - ?"


def test_left_out_text_is_marked() -> None:
    assert wrap("one two three", width_of("one two..."), 1) == ["one two..."]
    assert wrap("unbreakable", width_of("unbr..."), 2) == ["unbr..."]
