"""Seeds derived for each purpose."""

from hypothesis import given
from hypothesis import strategies as st

from fedsim.core.seeds import derive

PURPOSES = st.lists(st.text(max_size=8) | st.integers(), max_size=4).map(tuple)


@given(st.integers(0, 2**63 - 1), PURPOSES)
def test_a_seed_fits_every_generator_and_is_a_function(
    seed: int, purpose: tuple[str | int, ...]
) -> None:
    assert 0 <= derive(seed, *purpose) < 2**63
    assert derive(seed, *purpose) == derive(seed, *purpose)


@given(PURPOSES, PURPOSES)
def test_another_purpose_gives_another_seed(
    one: tuple[str | int, ...], other: tuple[str | int, ...]
) -> None:
    assert (derive(1, *one) == derive(1, *other)) == (one == other)


def test_words_and_numbers_do_not_run_together() -> None:
    assert len({derive(1, "ab"), derive(1, "a", "b"), derive(1, 12), derive(1, 1, 2)}) == 4
    assert derive(1, "1") != derive(1, 1)


def test_seeds_never_change() -> None:
    assert derive(7, "batch", 0, 1) == 7820554739598633399
