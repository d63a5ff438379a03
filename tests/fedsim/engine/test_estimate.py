"""Long attacks are announced before they begin."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from fedsim.api.plain import PlainView
from fedsim.attacks import DLG
from fedsim.clients.site import Site, open_site
from fedsim.engine import estimate, run
from fedsim.engine.estimate import attack_seconds
from tests.fedsim.small import TWENTY_EVALUATIONS, small

CPU = torch.device("cpu")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(estimate, "LARGE", 10)
    monkeypatch.setattr(estimate, "_gradient_seconds", lambda site: 0.5)
    return open_site(small(TWENTY_EVALUATIONS))


def test_evaluations_times_victims(site: Site) -> None:
    # Two rounds, each with three clients and the control, of twenty evaluations.
    assert attack_seconds(site, CPU) == 2 * 4 * 20 * estimate.SECOND_ORDER * 0.5


def test_an_attacker_over_rounds_evaluates_each_of_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = small(TWENTY_EVALUATIONS, "adversary.rounds_together=true", "adversary.rounds=[2]")
    # One round with three clients and the control, and two rounds together for three clients.
    assert attack_seconds(open_site(case), CPU) == (4 + 6) * 20 * estimate.SECOND_ORDER * 0.5


def test_none_where_it_is_not_needed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert attack_seconds(site, torch.device("cuda")) is None
    assert attack_seconds(open_site(small("adversary.attack='dense'")), CPU) is None
    monkeypatch.setattr(estimate, "LARGE", 10**9)
    assert attack_seconds(site, CPU) is None
    monkeypatch.setattr(estimate, "LARGE_PICTURE", 28 * 28)
    assert attack_seconds(site, CPU) is not None


def test_labels_of_local_steps_are_searched_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "is_small", lambda *_numbers: True)
    changes = ("adversary={attack={name='idlg', evaluations=300}}", "federation.local_steps=2")
    case = open_site(small(*changes, "federation.upload='update'"))
    found = attack_seconds(case, CPU)
    # Two rounds, each with three clients and the control; labels are searched for clients' steps.
    evaluations = 2 * (4 * 300 + 3 * estimate.EVALUATIONS)
    assert found == evaluations * 2 * estimate.SECOND_ORDER * 0.5


def test_said_before_anything_else(site: Site, tmp_path: Path) -> None:
    said = io.StringIO()
    scenario = small("adversary={attack={name='dlg', evaluations=2}}")
    estimate.SECOND_ORDER, kept = 1e5, estimate.SECOND_ORDER
    try:
        run(scenario, tmp_path / "run", observer=PlainView(Console(file=said, width=200)))
    finally:
        estimate.SECOND_ORDER = kept
    first = next(line for line in said.getvalue().splitlines() if "about" in line)
    assert "the attacks will take about 222.2 h on this CPU; a GPU, fewer" in first
    assert said.getvalue().index("about") < said.getvalue().index("round 1")


def test_it_is_of_the_right_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real gradient is timed, and an evaluation takes a few of those."""
    monkeypatch.setattr(estimate, "LARGE", 10)
    found = attack_seconds(open_site(small(TWENTY_EVALUATIONS)), CPU)
    assert found is not None
    assert 0 < found < 600
    assert isinstance(small(TWENTY_EVALUATIONS).adversary.attack, DLG)  # type: ignore[union-attr]
