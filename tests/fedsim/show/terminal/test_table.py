"""The table at the end of a run."""

import io

import pytest
from rich.console import Console

from fedsim.log.schema import CONTROL, LogRecord, RunEnded
from fedsim.log.summary import summarise
from fedsim.show.terminal.table import NARROW, remarks, summary_table
from tests.fedsim.runs import accuracy, leakage, reconstruction, started, upload

PRUNING = [{"name": "pruning", "fraction": 0.7}]


def shown(records: list[LogRecord], width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    summary = summarise([started(), *records])
    console.print(summary_table(summary, width))
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


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_number_of_a_defense_is_broken(width: int) -> None:
    chain = [{"name": "local-dp", "norm": 1, "noise_multiplier": 0.0001, "delta": 1e-05}]
    text = shown([upload(0, "little noise", defenses=chain), leakage("a", "little noise")], width)
    words = text.split()
    assert {"noise_multiplier=", "0.0001", "delta=1e-05"} <= set(words)


@pytest.mark.parametrize("width", [60, 80])
def test_the_name_of_a_defense_is_whole(width: int) -> None:
    chain = [{"name": "laplacian-noise", "scale": 0.1}]
    lost = leakage("a", "loud", psnr=None, meaning="unscored")
    text = shown([upload(0, "loud", defenses=chain), lost, leakage("b", "loud")], width)
    assert "laplacian-noise" in text.split()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_groups_that_begin_alike_differ_in_the_table(width: int) -> None:
    names = ["adaptive pruning 10 %", "adaptive pruning 70 %", "Laplacian noise 1e-1"]
    defenses = [[{"name": "pruning", "fraction": share}] for share in (0.1, 0.7)]
    defenses.append([{"name": "laplacian-noise", "scale": 0.1}])
    records = [
        record
        for i, (name, chain) in enumerate(zip(names, defenses, strict=True))
        for record in (upload(i, name, defenses=chain), leakage(f"v{i}", name))
    ]
    lines = shown(records, width).splitlines()
    assert max(map(len, lines)) <= width
    column = next(line.index("attacker") for line in lines if "attacker" in line)
    end = next(i for i, line in enumerate(lines) if line.startswith("Labels told"))
    first = " ".join(line[:column].strip() for line in lines[:end])
    for name in (*names, "fraction=0.1", "fraction=0.7"):
        assert first.count(name) == 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_a_terminal_with_its_every_column(width: int) -> None:
    records = [
        upload(0, "clients with a long name", bytes=44_700_000.0, defenses=PRUNING),
        accuracy(1, 0.875),
        *[leakage("a", "clients with a long name", meaning="partly leaked") for _ in range(12)],
        *[leakage("a", "clients with a long name", meaning="attack failed") for _ in range(20)],
    ]
    text = shown(records, width)
    assert max(map(len, text.splitlines())) <= width
    for part in ("0/32", "12 partly", "20 failed", "41 (41) / 11", "100%"):
        assert part in text
    for part in ("44.7 MB", "87.5%"):
        assert (part in text) is (width >= NARROW)


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


def test_one_of_two_controls_that_failed_is_named() -> None:
    naive = leakage("c", None)
    adaptive = leakage("d", None, psnr=9.0, meaning="attack failed", attacker="adaptive")
    text = " ".join(shown([naive, adaptive]).split())
    assert "The adaptive attacker's positive control was not reconstructed" in text


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


def test_failures_of_one_reason_are_told_together() -> None:
    failed = [reconstruction(f"v{i}", error="stopped") for i in range(5)]
    text = shown([upload(0, "a"), *failed, reconstruction("w", error="no bias")])
    assert "v0, v1, v2 and 2 more: attack failed: stopped" in text
    assert "w: attack failed: no bias" in text


def test_an_interrupted_run_says_what_its_failures_mean() -> None:
    """And does not ask for more evaluations of a control that was cut off."""
    failed = leakage("r0001-control-naive", CONTROL, psnr=9.0, meaning="attack failed")
    end = RunEnded(status="interrupted", error=None, seconds=1.0)
    text = " ".join(shown([upload(0, "a"), failed, end]).split())
    assert "The run was interrupted: attacks that had not ended count as failed" in text
    assert "Use more evaluations" not in text
