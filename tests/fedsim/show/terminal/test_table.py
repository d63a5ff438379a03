"""The table at the end of a run."""

import io

import pytest
from rich.console import Console

from fedsim.log.schema import LogRecord
from fedsim.log.summary import summarise
from fedsim.show.terminal.table import remarks, summary_table
from tests.fedsim.runs import accuracy, leakage, reconstruction, started, upload

PRUNING = [{"name": "pruning", "fraction": 0.7}]


def shown(records: list[LogRecord], width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    summary = summarise([started(), *records])
    console.print(summary_table(summary))
    for line in remarks(summary):
        console.print(line)
    return console.export_text()


def lines_of(text: str, word: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip().startswith(word)]


def test_a_row_says_what_leaked_against_the_baseline_at_what_price() -> None:
    text = shown(
        [
            upload(0, "plain"),
            upload(1, "plain"),
            accuracy(0, 0.1),
            accuracy(1, 0.875),
            leakage("a", "plain", psnr=40.0),
            leakage("b", "plain", psnr=50.0, label_found=2),
        ]
    )
    [row] = lines_of(text, "plain")
    assert row == ["plain", "naive", "2/2", "45", "(50)", "/", "11", "50%", "53.7", "kB", "87.5%"]
    assert "Labels told, a leak of their own: plain 1 of 2; a guess has 10%." in " ".join(
        text.split()
    )


def test_the_adaptive_attacker_stands_below_the_naive_one() -> None:
    text = shown(
        [
            upload(0, "pruned", defenses=PRUNING),
            leakage("a", "pruned", attacker="adaptive"),
            leakage("a", "pruned", psnr=7.0, meaning="protected"),
        ]
    )
    [naive] = lines_of(text, "pruned")
    [adaptive] = lines_of(text, "adaptive")
    assert naive[1:5] == ["naive", "0/1", "7", "(7)"]
    assert adaptive[:3] == ["adaptive", "1/1", "41"]
    assert "fraction=0.7" in text


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_a_terminal_with_its_every_column(width: int) -> None:
    records = [
        upload(0, "clients with a long name", bytes=44_700_000.0, defenses=PRUNING),
        accuracy(1, 0.875),
        *[leakage("a", "clients with a long name", meaning="partly leaked") for _ in range(12)],
        *[leakage("a", "clients with a long name", meaning="attack failed") for _ in range(20)],
    ]
    text = shown(records, width)
    assert max(map(len, text.splitlines())) <= width
    for part in ("0/32", "12 partly", "20 failed", "41 (41) / 11", "100%", "44.7 MB", "87.5%"):
        assert part in text


def test_what_failed_is_told_from_what_was_protected() -> None:
    text = shown([upload(0, "a"), leakage("v", "a", psnr=9.0, meaning="attack failed")])
    [row] = lines_of(text, "a ")
    assert row[2] == "0/1"
    assert "1 failed" in text
    assert "That is not protection" in " ".join(text.split())


def test_a_control_that_was_not_rebuilt_comes_first() -> None:
    text = shown([leakage("c", None, psnr=9.0, meaning="attack failed")])
    after_table = text.split("positive control", 1)[1]
    assert "The positive control was not reconstructed" in after_table
    assert "not reconstructed" not in shown([leakage("c", None)])


def test_a_control_that_was_half_rebuilt_is_not_called_a_failed_attack() -> None:
    control = [leakage("c", None), leakage("c", None, meaning="partly leaked")]
    text = " ".join(shown([upload(0, "a"), leakage("v", "a"), *control]).split())
    assert "of its 2 pictures, 1 leaked and 1 partly leaked" in text
    assert "attack failed" not in text
    assert "a defense need not be the reason" in text


def test_its_title_counts_what_leaked_to_the_stronger_attacker() -> None:
    naive = leakage("v", "a", meaning="partly leaked", partition=0)
    adaptive = leakage("w", "a", meaning="protected", partition=0, attacker="adaptive")
    other = leakage("x", "a", meaning="protected", partition=1)
    text = shown([upload(0, "a"), naive, adaptive, other])
    assert "What leaked: 1 of 2 private pictures partly leaked." in text


def test_an_attack_that_failed_says_why_that_is_no_protection() -> None:
    failed = leakage("v", "a", psnr=9.0, meaning="attack failed", doubts=["wrong equations"])
    text = " ".join(shown([upload(0, "a"), failed]).split())
    assert "the attacker's equations do not explain the upload (1)" in text


def test_broken_uploads_failed_attacks_and_approximations_are_named() -> None:
    text = shown(
        [
            upload(4, "a", problem="the tensor 'w' holds NaN"),
            reconstruction("r0001-c0001-naive", error="MemoryError: [bold]much[/bold]"),
            reconstruction("r0001-c0002-naive", approximate=True),
        ]
    )
    assert "round 1, client 4: not used: the tensor 'w' holds NaN" in text
    assert "r0001-c0001-naive: attack failed: MemoryError: [bold]much[/bold]" in text
    assert "an approximation" in text


def test_the_labels_stand_beside_a_random_guess() -> None:
    text = " ".join(shown([upload(0, "a"), leakage("v", "a")]).split())
    assert "labels: share that the attack found (a blind guess: 10%)" in text
