"""Clipping alone and weak noise are not recommended: the comparison ``clipping-alone``.

Earlier attackers without the right equations made both look safe. Takes about two minutes; run with
``-s`` to see what the comparison says instead.
"""

# ruff: noqa: T201 - the text is what this is run for

from pathlib import Path

import pytest

from fedsim.engine.comparison import run_cells
from fedsim.log.comparison import cell_folder
from fedsim.log.results import results
from fedsim.log.schema import NO_DEFENSE
from fedsim.scenario.comparison import load_comparison
from fedsim.show.comparison.advice import advice

pytestmark = [pytest.mark.paper, pytest.mark.timeout(3600)]


def test_clipping_and_weak_noise_are_not_recommended(tmp_path: Path) -> None:
    comparison = load_comparison("clipping-alone")
    done = run_cells(comparison, tmp_path)
    assert [each.error for each in done if each.error is not None] == []
    found = results(comparison, [(p, cell_folder(tmp_path, p)) for p in comparison.places])
    said = advice(comparison, found)
    print("\n\n".join(said))
    adaptive = {r.label: r for r in found if r.attacker == "adaptive"}
    assert adaptive[NO_DEFENSE].leaked == adaptive[NO_DEFENSE].examples
    assert (adaptive[NO_DEFENSE].mean_accuracy or 0) > 2 * adaptive[NO_DEFENSE].chance
    assert all(r.controls[0] == r.controls[1] > 0 for r in found)
    assert adaptive["per-example clipping"].leaked >= 12
    assert adaptive["Gaussian noise"].leaked >= 4
    # A dark picture in a batch of which the noise hides nothing else can be protected.
    assert {r.label for r in found if r.protected} <= {"Gaussian noise"}
    assert said[0].startswith("No defense that was tried was shown to protect")
    assert "shown to fail: per-example clipping, Gaussian noise." in said[0]
    assert "protects best" not in " ".join(said)
