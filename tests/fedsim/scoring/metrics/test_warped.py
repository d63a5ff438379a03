"""A turned, enlarged or far moved copy is found, and nothing else is."""

import pytest
import torch
from torch import Tensor

from fedsim.log.schema import Verdict
from fedsim.scoring.metrics.verdict import verdict
from fedsim.scoring.metrics.warped import views, warp
from tests.fedsim.scoring.cases.calibrate import evidence
from tests.fedsim.scoring.cases.judged import enlarged, judged, turned
from tests.fedsim.scoring.cases.pictures import BAG, clothes, noise, shift


def bags() -> Tensor:
    """Return the public bags."""
    _, _, public, labels = clothes()
    return public[labels == BAG]


def found(rebuilt: Tensor, at: int = 3) -> bool:
    """Return whether a view of a reconstruction identifies a bag among the others."""
    public = bags()
    others = torch.cat([public[:at], public[at + 1 :]])
    guesses = {"mean": others.mean(0), "grey": torch.full_like(public[at], 0.5)}
    return warp(rebuilt.clamp(0, 1), public[at], guesses, others, 0.5) is not None


def test_views_hold_a_picture_turned_back() -> None:
    bag = bags()[3]
    errors = (views(turned(bag)) - bag).square().flatten(1).mean(1)
    assert float(errors.min()) < 0.25 * float((turned(bag) - bag).square().mean())
    assert views(bag).shape == (22, 1, 28, 28)


def test_warped_copies_are_found_and_others_are_not() -> None:
    bags_, bag = bags(), bags()[3]
    for copy in (
        turned(bag),
        enlarged(bag),
        shift(bag, 5, 5),
        turned(bag).flip(2),
        1 - turned(bag),
    ):
        assert found(copy)
    for other in (bags_[5], turned(bags_[5]), bags_.mean(0), noise(bag), torch.zeros_like(bag)):
        assert not found(other)


def test_a_baseline_has_the_same_views() -> None:
    public = bags()
    rebuilt = turned(public[3])
    assert warp(rebuilt, public[3], {"prior": rebuilt}, public[4:], 0.5) is None
    assert warp(rebuilt, public[3], {"nearest": rebuilt}, public[4:], 0.5) is not None  # by truth
    assert warp(rebuilt, public[3], {"grey": 0 * rebuilt}, turned(rebuilt)[None], 0.5) is None


def test_small_pictures_have_no_views() -> None:
    small = bags()[3][:, 2:25, 2:25]
    assert warp(turned(small), small, {}, bags()[:0, :, 2:25, 2:25], 0.0) is None


@pytest.mark.parametrize("name", ["pullover: turned", "T-shirt: enlarged", "cup: shift 4 4"])
def test_the_verdict_counts_them(name: str) -> None:
    [row] = [case for case in judged() if case.name == name]
    seen = evidence(row)
    assert verdict(seen) is Verdict.RECOGNISABLE
    assert seen.warped is not None
    assert seen.warped.rank == 1
