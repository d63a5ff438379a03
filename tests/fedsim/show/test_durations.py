"""Durations in words."""

import pytest

from fedsim.show.headline import duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.1, "1 s"), (5.2, "5 s"), (600, "10 min"), (7200, "2.0 h"), (8e5, "222.2 h")],
)
def test_in_words(seconds: float, said: str) -> None:
    assert duration(seconds) == said
