"""Attackers of the transformation search: the private picture is found, not the transformed one."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedsim.attacks import IDLG
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
from fedsim.attacks.adaptive.public import PublicPictures
from fedsim.attacks.adaptive.transform_search import UndoPolicy
from fedsim.attacks.matching.undo import Trained
from fedsim.clients.defenses import TransformSearch
from fedsim.core.transformations import library
from fedsim.data import FashionMnistMini, load_dataset
from fedsim.scoring.metrics.images import psnr
from tests.attacks.adaptive.chains import described, informed
from tests.victims import fashion_victims


@pytest.fixture(scope="module")
def known() -> Known:
    """Public clothes of 14 x 14, and their classes."""
    images, labels = load_dataset(FashionMnistMini()).test.batch(np.arange(500))
    return Known(public=nn.functional.avg_pool2d(images, 2), public_labels=labels)


def undone(policy: Sequence[str], known: Known, *, shared: bool = True) -> tuple[Tensor, Tensor]:
    """Return the PSNR of two private clothes after a policy, and after it was undone."""
    images, labels = load_dataset(FashionMnistMini()).train.batch(np.array([2, 5]))
    images = nn.functional.avg_pool2d(images, 2)
    transformed = images
    for name in policy:
        transformed = library()[name](transformed).clamp(0, 1)
    public = PublicPictures.of(known)
    assert public is not None
    targets = nn.functional.one_hot(labels, 10).float()
    done = UndoPolicy(shared, public)(Trained(transformed, targets, torch.arange(2)))
    assert torch.equal(done.source, torch.arange(2))
    return psnr(transformed, images), psnr(done.pictures, images)


@pytest.mark.slow
def test_a_policy_is_found_and_undone(known: Known) -> None:
    before, after = undone(["invert", "translate left", "darker"], known)
    assert float(after.min()) > float(before.max()) + 5


@pytest.mark.parametrize(
    "policy",
    [
        ["rotate left", "shear across", "sharper"],
        ["posterise", "translate up", "less contrast"],
        ["translate right", "invert", "rotate right"],
        ["solarise", "shear down", "translate down"],
        ["more contrast", "brighter", "translate left"],
    ],
    ids=" ".join,
)
@pytest.mark.slow
def test_any_policy_is_found_and_undone(policy: Sequence[str], known: Known) -> None:
    before, after = undone(policy, known, shared=False)
    assert float(after.mean()) > float(before.mean()) + 3


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.slow
def test_the_private_picture_is_found_behind_a_search(known: Known, batch_size: int) -> None:
    """Measured in the mean: 9.9 and 18.5 dB, 9.1 and 18.0; the mean of the class has 15.3."""
    victims = fashion_victims(8 // batch_size, batch_size=batch_size, shrink=2)
    seen = victims.observations(TransformSearch(candidates=3))
    naive = IDLG(evaluations=150)
    blind, seeing = (
        victims.psnr(attack.run(victims.model, seen)).flatten()
        for attack in (naive, informed("transform-search", naive, known))
    )
    public = PublicPictures.of(known)
    assert public is not None
    truth = victims.images.flatten(0, 1)
    means = torch.stack([public.gaussian(c).mean for c in victims.labels.flatten().tolist()])
    assert float(seeing.mean()) > float(blind.mean()) + 5
    assert float(seeing.mean()) > float(psnr(means.view_as(truth), truth).mean()) + 1


def test_rounding_afterwards_keeps_the_inverse(known: Known) -> None:
    attack = adapt(IDLG(), countermeasures_of(described("transform-search", "fp16")), known)
    assert attack.objective == informed("fp16", IDLG(), known).objective
    [step] = attack.undo
    assert isinstance(step, UndoPolicy)
    assert not attack.mixed_labels


def test_each_step_has_a_policy_of_its_own(known: Known) -> None:
    public = PublicPictures.of(known)
    assert public is not None
    one, several = (
        informed(
            "transform-search", IDLG(), Known(known.public, known.public_labels, local_steps=k)
        )
        for k in (1, 3)
    )
    assert one.undo == (UndoPolicy(True, public),)
    assert several.undo == (UndoPolicy(False, public),)


def test_without_public_pictures_the_transformed_picture_remains() -> None:
    naive = IDLG()
    assert informed("transform-search", naive, Known()) is naive
