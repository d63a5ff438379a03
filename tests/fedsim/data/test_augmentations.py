"""Random flips and crops, and what an attacker finds of pictures that they changed."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedsim.attacks import IDLG, Observation
from fedsim.clients.training import differentiate
from fedsim.core.registry import AUGMENTATIONS
from fedsim.data.augmentations import Crop, Flip, augmented
from fedsim.engine import run
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import Doubt, LeakageRecord, Meaning, ReconstructionRecord
from fedsim.models import LeNet
from tests.fedsim.small import groups, refusal, small


def pictures(count: int = 3) -> Tensor:
    return torch.rand(count, 2, 6, 5, generator=torch.Generator().manual_seed(0))


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", AUGMENTATIONS.names())
def test_augmentations_are_pure_functions_of_their_generator(name: str) -> None:
    given = pictures()
    kept, augmentation = given.clone(), AUGMENTATIONS.get(name)()
    one, two = (augmentation.apply(given, chance(1)) for _ in range(2))
    assert torch.equal(given, kept)
    assert torch.equal(one, two)
    assert one.shape == given.shape
    assert not torch.equal(one, augmentation.apply(given, chance(5)))


def test_a_flip_mirrors() -> None:
    given = pictures()
    assert torch.equal(Flip(probability=1.0).apply(given, chance()), given.flip(-1))
    assert torch.equal(Flip(probability=0.0).apply(given, chance()), given)
    shares = [float((Flip().apply(pictures(1), chance(i)) != pictures(1)).any()) for i in range(99)]
    assert 0.3 < sum(shares) / 99 < 0.7


def test_a_crop_moves_and_fills_with_black() -> None:
    given, seen = torch.ones(1, 1, 6, 5), set()
    for seed in range(200):
        moved = Crop(padding=1).apply(given, chance(seed))[0, 0]
        seen.add((int(moved.any(1).sum()), int(moved.any(0).sum())))
    assert seen == {(rows, columns) for rows in (5, 6) for columns in (4, 5)}


def test_the_trained_pictures_explain_the_upload_and_the_private_ones_do_not() -> None:
    model = LeNet().build((1, 8, 8), 4, seed=0).double()
    given, labels = torch.rand(2, 1, 8, 8, generator=chance(3)).double(), torch.tensor([1, 3])
    trained = augmented([Flip(probability=1.0), Crop(padding=2)], given, chance(2))
    gradient = differentiate(model, (trained, labels)).gradients
    seen = Observation(gradient, (1, 8, 8), 2)
    assert IDLG().truth_fit(model, seen, trained, labels).explained
    assert not IDLG().truth_fit(model, seen, given, labels).explained


@pytest.mark.slow
def test_no_example_of_a_client_that_augments_is_protected(tmp_path: Path) -> None:
    case = small(
        "federation={rounds=2, batch_size=1, augmentations=[{name='flip', probability=1.0}]}",
        groups("[]", "[{name='gaussian-noise', std=1.0}]"),
        "adversary={attack={name='best', evaluations=50}, adaptive=true}",
    )
    records = list(read_records(run(case, tmp_path / "run")))
    fits = of_kind(records, ReconstructionRecord)
    assert all(r.explained for r in fits if r.is_control)
    assert not any(r.explained for r in fits if r.who == "group 0")
    scores = of_kind(records, LeakageRecord)
    # The mirror image of a picture is the picture: alignment finds it.
    assert {r.score.meaning for r in scores if r.who == "group 0"} == {Meaning.LEAKED}
    hidden = [r.score for r in scores if r.who == "group 1"]
    assert {s.meaning for s in hidden} == {Meaning.ATTACK_FAILED}
    assert all(Doubt.NOT_TRAINED_ON in s.doubts for s in hidden)


def test_augmentations_that_cannot_be_are_refused() -> None:
    assert "did you mean 'flip'" in refusal("federation.augmentations=['flipp']")
    texts = ("data={dataset='messages'}", "model='gpt2'")
    assert "not for texts" in refusal(*texts, "federation.augmentations=['flip']")
    together = "adversary={rounds_together=true}"
    assert "the same pictures in each round" in refusal(
        together, "federation.augmentations=['flip']"
    )
