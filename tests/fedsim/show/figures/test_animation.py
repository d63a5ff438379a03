"""The GIF shows every step, the same each time."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedsim.core.errors import DataError
from fedsim.show.figures import Emergence, animate


def victim(seed: int, numbers: range, channels: int = 1) -> Emergence:
    rng = np.random.default_rng(seed)
    frames = [(n, rng.random((channels, 6, 6))) for n in numbers]
    return Emergence(rng.random((channels, 6, 6)), frames, f"victim {seed}")


def frames_of(path: Path) -> list[tuple[np.ndarray, int]]:
    with Image.open(path) as gif:
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append((np.asarray(gif.convert("RGB")), gif.info["duration"]))
        return frames


def test_every_step_once_and_the_last_held(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    animate([victim(0, range(0, 50, 10)), victim(1, range(0, 40, 20))], path, frame_ms=100)
    assert [duration for _, duration in frames_of(path)] == [100] * 4 + [2000]
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.parametrize("channels", [1, 3])
def test_same_input_same_bytes(tmp_path: Path, channels: int) -> None:
    for name in ("a.gif", "b.gif"):
        animate([victim(0, range(3), channels)], tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_grey_pictures_are_exact(tmp_path: Path) -> None:
    shown = victim(3, range(2))
    animate([shown], tmp_path / "a.gif", scale=1)
    for (page, _), (_, image) in zip(frames_of(tmp_path / "a.gif"), shown.frames, strict=True):
        pixels = np.rint(image[0] * 255).astype(np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(page[..., 0], (6, 6))
        assert (windows == pixels).all(axis=(2, 3)).any()


def test_colours_stay_close(tmp_path: Path) -> None:
    red = np.zeros((3, 6, 6))
    red[0] = 1
    animate([Emergence(red, [(0, red)])], tmp_path / "a.gif")
    ((page, _),) = frames_of(tmp_path / "a.gif")
    assert (np.abs(page.astype(int) - (255, 0, 0)).max(axis=2) < 16).sum() >= 2 * (6 * 4) ** 2


def test_a_finished_victim_keeps_its_last_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    early = victim(0, range(0, 1))
    animate([early, victim(1, range(3))], path, scale=4)
    pages = [page for page, _ in frames_of(path)]
    column = slice(100, 190)
    body = slice(0, pages[0].shape[0] - 30)
    assert (pages[0][body, column] == pages[2][body, column]).all()


def test_a_late_or_broken_victim_is_shown(tmp_path: Path) -> None:
    broken = Emergence(np.zeros((1, 6, 6)), [(5, np.full((1, 6, 6), np.nan))])
    never = Emergence(np.zeros((3, 9, 4)), [])
    animate([victim(0, range(3)), broken, never], tmp_path / "a.gif")
    assert len(frames_of(tmp_path / "a.gif")) == 4


def test_many_victims_run_on_in_a_band(tmp_path: Path) -> None:
    animate([victim(i, range(1)) for i in range(8)], tmp_path / "8.gif")
    animate([victim(i, range(1)) for i in range(9)], tmp_path / "9.gif")
    with Image.open(tmp_path / "8.gif") as eight, Image.open(tmp_path / "9.gif") as nine:
        assert eight.width == nine.width
        assert nine.height > 1.5 * eight.height


@pytest.mark.parametrize("victims", [[], [Emergence(np.zeros((1, 2, 2)), [])]])
def test_nothing_to_animate(tmp_path: Path, victims: list[Emergence]) -> None:
    with pytest.raises(DataError, match="no frames"):
        animate(victims, tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
