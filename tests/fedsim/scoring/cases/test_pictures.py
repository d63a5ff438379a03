"""Verdicts on pictures agree with judgements by eye, and with what is known of 400 clothes."""

from collections import Counter

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from fedsim.log.schema import Verdict
from fedsim.scoring.metrics.baselines import blind_guesses
from fedsim.scoring.metrics.evidence import candidates, gather
from fedsim.scoring.metrics.matching import match
from fedsim.scoring.metrics.selection import with_choice
from fedsim.scoring.metrics.verdict import verdict
from tests.fedsim.scoring.cases.calibrate import evidence
from tests.fedsim.scoring.cases.judged import turned
from tests.fedsim.scoring.cases.pictures import BOOT, cases, clothes, garment, noise, shift

LEAKS = (Verdict.RECOGNISABLE, Verdict.PARTLY)


def words(make: list[Tensor] | Tensor, step: int = 5) -> Counter[Verdict]:
    """Return the verdicts on reconstructions of every fifth private garment, 400 in all."""
    private, labels, public, classes = clothes()
    originals, own = private[::step], labels[::step]
    guesses = blind_guesses(originals, public, classes, own.tolist())
    ranked = [candidates(public, classes, label) for label in own.tolist()]
    found = make if isinstance(make, Tensor) else torch.stack(make)
    return Counter(map(verdict, gather(found, originals, guesses, ranked)))


@pytest.mark.slow
def test_verdicts_agree_with_the_eye() -> None:
    rows = [(c.name, c.eye, str(verdict(evidence(c)))) for c in cases()]
    wrong = [row for row in rows if row[2] not in row[1]]
    assert len(rows) == 44
    assert len(wrong) <= 0.05 * len(rows), wrong


@pytest.mark.slow
def test_the_mean_of_its_class_leaks_no_garment() -> None:
    _, labels, public, classes = clothes()
    means = [public[classes == label].mean(0) for label in labels[::5].tolist()]
    found = words(means)
    assert found.total() == 400
    assert sum(found[word] for word in LEAKS) <= 5


@pytest.mark.slow
def test_some_garment_of_its_class_seldom_leaks_a_garment() -> None:
    _, labels, public, classes = clothes()
    some = [public[classes == n][i % 50] for i, n in enumerate(labels[::5].tolist())]
    assert sum(words(some)[word] for word in LEAKS) <= 12


@pytest.mark.slow
def test_a_shift_of_two_pixels_leaks_the_garment() -> None:
    private = clothes()[0][::5]
    assert words([shift(x, 2, 2) for x in private])[Verdict.RECOGNISABLE] >= 380


@pytest.mark.slow
def test_a_turned_copy_leaks_the_garment() -> None:
    found = words([turned(x).clamp(0, 1) for x in clothes()[0][::50]], 50)
    assert found.total() == 40
    assert found[Verdict.RECOGNISABLE] >= 34


@pytest.mark.slow
def test_an_inversion_leaks_the_garment() -> None:
    assert words(1 - clothes()[0][::5])[Verdict.RECOGNISABLE] >= 380


@pytest.mark.parametrize(
    "name",
    [
        "boot, shifted by 2 pixels",
        "boot, inverted",
        "boot: the mean of its class",
        "a black picture: speckle",
        "face, exact on grey",
    ],
)
def test_single_rows_agree_with_the_eye(name: str) -> None:
    [row] = [case for case in cases() if case.name == name]
    assert verdict(evidence(row)) in row.eye


def test_no_label_found_leaves_the_baselines_of_no_class() -> None:
    _, _, public, classes = clothes()
    original = garment(BOOT)[None]
    assert "class mean" not in blind_guesses(original, public, classes, [None])
    found = blind_guesses(original, public, classes, [BOOT])
    assert found["class mean"][0] == pytest.approx(public[classes == BOOT].mean(0))
    wrong = blind_guesses(original, public, classes, [77])  # a class without public pictures
    assert torch.equal(wrong["class mean"], wrong["mean"])


def test_what_the_attack_finds_without_the_gradient_is_a_baseline() -> None:
    _, _, public, classes = clothes()
    original = garment(BOOT)[None]
    found = (original + noise(original, 0.05)).clamp(0, 1)
    ranked = [candidates(public, classes, BOOT)]
    for prior, expected in ((None, Verdict.RECOGNISABLE), (found, Verdict.GUESSING)):
        guesses = blind_guesses(original, public, classes, [BOOT], prior)
        assert verdict(gather(found, original, guesses, ranked)[0]) is expected


@pytest.mark.slow
@pytest.mark.parametrize(("std", "most"), [(0.0, 24), (0.3, 12)])
def test_matching_makes_few_leaks_of_other_peoples_clothes(std: float, most: int) -> None:
    private, labels, public, classes = clothes()
    generator = torch.Generator().manual_seed(0)
    found: Counter[Verdict] = Counter()
    for _ in range(3):
        mine, theirs = torch.randperm(len(private), generator=generator)[:64].chunk(2)
        originals, own = private[mine], labels[mine].tolist()
        others = private[theirs] + std * torch.randn(private[theirs].shape, generator=generator)
        rebuilt = others.clamp(0, 1)
        guesses = blind_guesses(originals, public, classes, own)
        ranked = [candidates(public, classes, label) for label in own]
        matching = match(rebuilt, originals)
        evidences = gather(rebuilt[matching], originals, guesses, ranked)
        evidences = with_choice(evidences, rebuilt, matching, public, classes)
        found += Counter(map(verdict, evidences))
    assert found.total() == 96
    assert sum(found[word] for word in LEAKS) <= most


def smooth(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return smooth clouds in the shape of some pictures."""
    found = gaussian_filter(torch.randn(pictures.shape, generator=generator), (0, 0, 2, 2))
    clouds = torch.from_numpy(found)
    return (0.4 + 0.25 * clouds / clouds.std((2, 3), keepdim=True)).clamp(0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("std", "before", "after"), [(None, (3, 9), (0, 1)), (0.5, (75, 96), None)]
)
def test_by_choice_removes_chance_from_batches_and_no_leaks(
    std: float | None, before: tuple[int, int], after: tuple[int, int] | None
) -> None:
    """Of 96 clothes in batches of 32: beside smooth clouds, or beside themselves under noise."""
    private, labels, public, classes = clothes()
    generator = torch.Generator().manual_seed(0)
    leaks = [0, 0]
    for _ in range(3):
        rows = torch.randperm(len(private), generator=generator)[:64][:32]
        originals, own = private[rows], labels[rows].tolist()
        found = smooth(originals, generator)
        if std is not None:
            found = originals + std * torch.randn(originals.shape, generator=generator)
        found = found.clamp(0, 1)
        matching = match(found, originals)
        guesses = blind_guesses(originals, public, classes, own)
        ranked = [candidates(public, classes, label) for label in own]
        evidence = gather(found[matching], originals, guesses, ranked)
        chosen = with_choice(evidence, found, matching, public, classes)
        for at, each in enumerate((evidence, chosen)):
            leaks[at] += sum(verdict(e) in LEAKS for e in each)
    low, high = before
    assert low <= leaks[0] <= high, leaks
    assert leaks[1] == leaks[0] if after is None else after[0] <= leaks[1] <= after[1], leaks
