"""Pictures of a run in progress that do not all fit a terminal."""

import io

import numpy as np
import pytest
from rich.console import Console

from fedsim.modalities.pictures.view import SMALLEST, PictureView
from fedsim.show.view import Frame

WHITE = np.ones((1, 28, 28), np.float32)


def frames(done: int, running: int) -> list[Frame]:
    ended = [Frame("ended", "naive", None, WHITE, "9 dB leaked", running=False)] * done
    return [*ended, *[Frame("attacked", "naive", None, WHITE, "fit 1e-03")] * running]


def drawn(shown: list[Frame], width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(PictureView().frames(shown, width, height))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("running", "columns"), [(1, 26), (2, 26), (17, SMALLEST), (0, SMALLEST)])
def test_what_is_under_attack_is_as_large_as_it_fits(running: int, columns: int) -> None:
    lines = drawn(frames(17, running), 80, 18)
    assert len(lines) <= 18
    assert lines[0].split()[0] == "@" * columns
    assert " ".join(lines).count("attacked") >= min(running, 2)
    assert "more" in lines[-1]
