"""The accuracy over the rounds in one line."""

import io

import pytest
from rich.console import Console

from fedsim.show.terminal.curve import WIDTH, AccuracyCurve


@pytest.mark.parametrize(
    ("accuracy", "line"),
    [
        ({0: 0.1, 1: 0.5, 2: 0.8}, "accuracy 10.0% ▂▅█ 80.0% (a guess: 10.0%)"),
        ({2: 0.1, 1: 0.11}, "accuracy 11.0% ▅▅ 10.0% (a guess: 10.0%)"),
        ({5: 0.25}, "accuracy 25.0% (a guess: 10.0%)"),
        ({1: -3.0, 2: -0.1, 3: 0.8}, "accuracy -300.0% ▁▁█ 80.0% (a guess: 10.0%)"),  # numbers
    ],
)
def test_first_curve_last_and_guess(accuracy: dict[int, float], line: str) -> None:
    assert AccuracyCurve(accuracy, "accuracy", 0.1).line() == line


def test_many_rounds_fit_and_keep_their_ends() -> None:
    rising = AccuracyCurve({i: i / 200 for i in range(201)}, "accuracy", None).line()
    assert rising.startswith("accuracy 0.0% ▁")
    assert rising.endswith("█ 100.0%")
    assert len(rising.split()[2]) == WIDTH
    flat = AccuracyCurve(dict.fromkeys(range(50), 0.0), "accuracy", None).line()
    assert set(flat.split()[2]) == {"▁"}


def test_a_terminal_without_blocks() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=file, width=60)
    console.print(AccuracyCurve({0: 0.1, 1: 0.8}, "accuracy", None))
    file.seek(0)
    assert file.read() == "accuracy 10.0% .# 80.0%\n"


def test_nothing_measured_is_nothing_shown() -> None:
    console = Console(file=io.StringIO(), width=60)
    console.print(AccuracyCurve({}, "accuracy", None), end="")
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
