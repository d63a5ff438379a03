"""Noise that holds in single rounds and falls over all of them: the comparison ``rounds-together``.

Clients with one picture each, which they use in each of 15 rounds. Minutes; run with ``-s`` to see
what the comparison says. Measured: noise of 0.1 and 0.3, three clients, the adaptive attacker of
the last round 16.2 to 17.6 and 8.4 to 11.0 dB, nothing leaked; all rounds together 21.8 to 23.8 dB,
all recognisable, and 18.4 to 20.0 dB, all in part.
"""

# ruff: noqa: T201 - the text is what this is run for

from pathlib import Path

import pytest

from fedsim.core.names import ADAPTIVE, NO_DEFENSE, OVER_ROUNDS
from fedsim.engine.comparison import run_cells
from fedsim.log.comparison import cell_folder
from fedsim.log.results import results
from fedsim.scenario.comparison import load_comparison
from fedsim.show.comparison.advice import advice

pytestmark = [pytest.mark.paper, pytest.mark.timeout(3600)]


def test_noise_falls_over_rounds(tmp_path: Path) -> None:
    comparison = load_comparison("rounds-together")
    done = run_cells(comparison, tmp_path)
    assert [each.error for each in done if each.error is not None] == []
    found = results(comparison, [(p, cell_folder(tmp_path, p)) for p in comparison.places])
    said = advice(comparison, found)
    print("\n\n".join(said))
    noisy = [r for r in found if r.label != NO_DEFENSE]
    assert {r.leaked + r.partly for r in noisy if r.attacker == ADAPTIVE} == {0}
    over = [r for r in noisy if r.attacker == OVER_ROUNDS]
    for result in over:
        print(result.name, result.scores)
    assert [r.leaked + r.partly for r in over] == [3, 3]
    assert "protects best" not in " ".join(said)
    assert "Only an attacker of single rounds is stopped by: Gaussian noise" in " ".join(said)
