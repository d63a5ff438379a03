"""Public pictures get the same choice of reconstructions as private ones."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedsim.log.schema import Verdict
from fedsim.scoring.metrics.baselines import blind_guesses
from fedsim.scoring.metrics.evidence import Evidence, candidates, gather
from fedsim.scoring.metrics.matching import match
from fedsim.scoring.metrics.selection import with_choice, without_ranks
from fedsim.scoring.metrics.verdict import verdict
from tests.fedsim.scoring.cases.pictures import clothes, noise

pytestmark = pytest.mark.numeric


def judged(found: Tensor, rows: list[int]) -> list[Evidence]:
    """Return the evidence for some private clothes beside a batch of reconstructions."""
    private, labels, public, classes = clothes()
    originals, own = private[rows], labels[rows].tolist()
    ranked = [candidates(public, classes, label) for label in own]
    matching = match(found, originals)
    guesses = blind_guesses(originals, public, classes, own)
    evidence = gather(found[matching], originals, guesses, ranked)
    return with_choice(evidence, found, matching, public, classes)


def test_one_picture_has_no_choice() -> None:
    private = clothes()[0]
    [alone] = judged(private[[3]], [3])
    assert (alone.by_choice, verdict(alone)) == (0.0, Verdict.RECOGNISABLE)


@pytest.mark.slow
def test_a_leak_among_others_stays_one() -> None:
    private = clothes()[0]
    rows = [0, 1, 2, 3]
    found = private[rows].clone()
    found[2] = noise(found[2], 0.3).add(found[2]).clamp(0, 1)
    evidence = judged(found.flip(0), rows)
    assert [verdict(e) for e in evidence].count(Verdict.GUESSING) == 0
    assert max(e.by_choice for e in evidence) <= 0.05


@pytest.mark.parametrize(("first", "counts"), [(1, False), (8, True)])
def test_few_first_ranks_of_a_batch_are_chance(first: int, *, counts: bool) -> None:
    _, _, public, classes = clothes()
    told = Evidence(12.0, 0.2, 0.0, 12.0, 0.2, added=0.1, rank=1, candidates=51)
    other = replace(told, rank=9)
    given = [told] * first + [other] * (8 - first)
    clouds = torch.rand(8, *public.shape[1:], generator=torch.Generator().manual_seed(0))
    found = torch.nn.functional.avg_pool2d(clouds, 5, 1, 2)
    judged = with_choice(given, found, torch.arange(8), public[::10], classes[::10])
    assert [verdict(e) is Verdict.PARTLY for e in judged] == [counts] * first + [False] * (
        8 - first
    )
    assert all(e.by_choice == 0.0 for e in judged[first:])


def test_ranks_among_pictures_of_another_kind_tell_nothing() -> None:
    told = Evidence(12.0, 0.2, 0.0, 12.0, 0.2, added=0.1, rank=1, candidates=51)
    clear = Evidence(40.0, 0.99, 1.0, 12.0, 0.2, added=0.99, rank=1, candidates=51)
    found = without_ranks([told, clear])
    assert [verdict(each) for each in found] == [Verdict.GUESSING, Verdict.RECOGNISABLE]
    assert found[1] == clear
