"""Attackers of mixtures: what was mixed is found, not the mixture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import DLG, GradientMatching
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.attacks.adaptive.mixtures import Unmix
from fedsim.attacks.adaptive.public import PublicPictures
from fedsim.attacks.matching.undo import Trained
from fedsim.clients.defenses import Defense, Fp16, InstaHide, Mixup
from fedsim.data import FashionMnistMini, load_dataset
from fedsim.scoring.metrics.images import psnr
from tests.attacks.adaptive.chains import countermeasure
from tests.victims import fashion_victims


@pytest.fixture(scope="module")
def known() -> Known:
    """Public clothes of 14 x 14, and their classes."""
    images, labels = load_dataset(FashionMnistMini()).test.batch(np.arange(500))
    return Known(public=nn.functional.avg_pool2d(images, 2), public_labels=labels)


def gained(
    defense: Defense, name: str, known: Known, count: int, batch_size: int, **parameters: object
) -> tuple[Tensor, Tensor]:
    """Return the PSNR in dB of a naive attacker, who optimises labels too, and an adaptive one."""
    victims = fashion_victims(count, batch_size=batch_size, shrink=2)
    seen = victims.observations(defense)
    naive = DLG(evaluations=120)
    adaptive = adapt(naive, [countermeasure(name, **parameters)], known)
    blind, seeing = (victims.psnr(a.run(victims.model, seen)) for a in (naive, adaptive))
    return blind.flatten(), seeing.flatten()


# What a search leaves.


@pytest.mark.parametrize("batch_size", [2, 4])
@pytest.mark.slow
def test_mixtures_are_separated(known: Known, batch_size: int) -> None:
    """Measured for 12 pictures in the mean: 16 and 19 dB, 15.5 and 17 dB."""
    blind, seeing = gained(
        Mixup(alpha=1.0), "mixup", known, 12 // batch_size, batch_size, alpha=1.0
    )
    assert float(seeing.mean()) > float(blind.mean()) + 1
    assert float(seeing.min()) > float(blind.min()) + 1


@pytest.mark.parametrize("images", [2, 4])
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.slow
def test_signs_are_removed(known: Known, images: int, batch_size: int) -> None:
    """Measured in the mean: 6 dB and 16 to 18 dB; the mean of a class has 15."""
    blind, seeing = gained(
        InstaHide(images=images), "instahide", known, 6 // batch_size, batch_size, images=images
    )
    assert float(seeing.min()) > float(blind.max()) + 2
    assert float(seeing.mean()) > float(blind.mean()) + 8


def test_mixed_labels_are_found_whatever_the_label_rule(known: Known) -> None:
    """And rounding after the mixture keeps the separation."""
    victims = fashion_victims(2, batch_size=2, shrink=2)
    seen = victims.observations(Mixup(alpha=1.0), Fp16())
    answers = countermeasures_of([{"name": "mixup", "alpha": 1.0}, {"name": "fp16"}])
    naive = DLG(evaluations=40)
    attack = adapt(naive, answers, known)
    assert attack.objective == adapt(naive, answers[1:], known).objective
    assert attack.mixed_labels
    found = attack.run(victims.model, seen)
    for one in found:
        assert one.data is not None
        assert one.targets is not None
        assert one.labels is not None
        assert 2 <= len(one.data) == len(one.targets) == len(one.labels) <= 4
        assert all(len(s.data) == len(one.data) for s in one.history)
        assert torch.equal(one.history[-1].data, one.data)


# The separation itself.


def clothes() -> tuple[Tensor, Tensor]:
    """Return private clothes of 14 x 14 of all classes, and their classes."""
    images, labels = load_dataset(FashionMnistMini()).train.batch(np.arange(400))
    return nn.functional.avg_pool2d(images, 2), labels


def mixed(shares: list[float], *, signs: bool, public: PublicPictures) -> tuple[Tensor, ...]:
    """Return the PSNR of mixtures, class means and separated pictures to the largest part."""
    images, labels = clothes()
    generator = torch.Generator().manual_seed(0)
    scores = []
    for _ in range(20):
        chosen = torch.randperm(len(images), generator=generator)[: len(shares)]
        while len(labels[chosen].unique()) < len(shares):
            chosen = torch.randperm(len(images), generator=generator)[: len(shares)]
        parts, weights = images[chosen], torch.tensor(shares)
        mixture = torch.einsum("k,kchw->chw", weights, parts)
        coins = torch.rand(mixture.shape, generator=generator) < 0.5
        encoded = torch.where(coins & torch.tensor(signs), 1 - mixture, mixture)
        target = weights @ nn.functional.one_hot(labels[chosen], 10).float()
        undo = Unmix(len(shares), signs, public)
        found = undo(Trained(encoded[None], target[None], torch.zeros(1, dtype=torch.long)))
        assert found.targets.argmax(-1).tolist() == labels[chosen].tolist()
        mean = public.gaussian(int(labels[chosen[0]])).mean.view_as(mixture)
        guesses = torch.stack([encoded, mean, found.pictures[0]])
        scores.append(psnr(guesses, parts[:1].expand(3, -1, -1, -1)))
    return tuple(torch.stack(scores).T)


@pytest.mark.parametrize("share", [0.6, 0.9])
def test_the_larger_part_is_closer_than_mixture_and_class_mean(known: Known, share: float) -> None:
    public = PublicPictures.of(known)
    assert public is not None
    mixture, mean, found = mixed([share, 1 - share], signs=False, public=public)
    assert float((found - mixture).mean()) > 2
    assert float((found - mean).mean()) > 2


def test_signs_and_mixture_are_undone(known: Known) -> None:
    public = PublicPictures.of(known)
    assert public is not None
    encoded, mean, found = mixed([0.5, 0.3, 0.2], signs=True, public=public)
    assert float((found - encoded).min()) > 2
    assert float((found - mean).mean()) > 0.5


def test_a_share_near_one_leaves_the_picture(known: Known) -> None:
    public = PublicPictures.of(known)
    assert public is not None
    picture = clothes()[0][:1]
    target = torch.zeros(1, 10)
    target[0, 3], target[0, 7] = 0.99, 0.01
    done = Unmix(2, False, public)(Trained(picture, target, torch.zeros(1, dtype=torch.long)))
    assert len(done.pictures) == 1
    assert float(psnr(done.pictures, picture)) > 30


# What has to be known.


def test_without_public_pictures_only_the_labels_are_mixed() -> None:
    for name in ("mixup", "instahide"):
        attack = adapt(DLG(), [countermeasure(name)], Known())
        assert attack == replace(DLG(), mixed_labels=True)


@pytest.mark.slow
def test_the_priors_alone_have_nothing_to_separate(known: Known) -> None:
    noise = countermeasure("gaussian-noise")
    blind = adapt(DLG(), [countermeasure("mixup"), noise], known).without_gradient()
    assert blind is not None
    assert not blind.undo
    assert blind.priors


def test_without_classes_one_density_is_learned(known: Known) -> None:
    public = PublicPictures.of(replace(known, public_labels=None))
    assert public is not None
    assert torch.equal(public.gaussian(0).mean, public.gaussian(9).mean)


def test_too_large_pictures_are_left_mixed() -> None:
    assert PublicPictures.of(Known(public=torch.zeros(9, 1, 65, 65))) is None
    assert PublicPictures.of(Known(public=torch.zeros(4, 1, 8, 8))) is None


def test_attacks_with_equal_knowledge_are_equal(known: Known) -> None:
    assert known.public is not None

    def attack(known: Known) -> GradientMatching:
        return adapt(DLG(), [countermeasure("instahide")], known)

    again = replace(known, public=known.public.clone())
    assert attack(known) == attack(again)
    assert attack(known) != attack(replace(known, public=1 - known.public))
