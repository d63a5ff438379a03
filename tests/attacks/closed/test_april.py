"""The closed form of vision transformers."""

import pytest
import torch
from skimage import data as skimage_data
from torch import Tensor, nn
from torchvision.models import VisionTransformer, vit_b_16

from fedsim.attacks import April, BestOf, Normalisation, Observation, Reconstruction, Status
from fedsim.attacks.closed.patches import find_patches
from fedsim.core.errors import AttackError
from fedsim.models import ConvNet, ViT
from fedsim.scoring.metrics.images import psnr

pytestmark = pytest.mark.numeric


def photograph(side: int) -> Tensor:
    """Return a photograph ``(1, 3, side, side)`` in [0, 1]."""
    whole = torch.as_tensor(skimage_data.astronaut()).permute(2, 0, 1).float() / 255
    return nn.functional.interpolate(whole[None], (side, side), mode="area")


def seen(
    model: nn.Module, picture: Tensor, normalisation: Normalisation | None = None
) -> Observation:
    """Return the upload of a client with one picture, of class 1."""
    inputs = picture if normalisation is None else (picture - 0.4) / 0.3
    nn.functional.cross_entropy(model(inputs), torch.tensor([1])).backward()
    shape = tuple(picture.shape[1:])
    found = Observation.from_grads(model, input_shape=shape, normalisation=normalisation)
    model.zero_grad(set_to_none=True)
    return found


def attacked(model: nn.Module, picture: Tensor) -> Reconstruction:
    [found] = April().run(model, [seen(model, picture)])
    return found


def quality(found: Reconstruction, picture: Tensor) -> float:
    assert found.data is not None, found.error
    assert found.labels is not None
    assert found.labels.tolist() == [1]
    return float(psnr(found.data, picture))


@pytest.mark.parametrize(
    ("side", "spec"),
    [
        (28, ViT()),
        (32, ViT()),
        (32, ViT(patch=8, width=32, depth=4, heads=2, activation="relu")),
        (224, ViT(patch=16, width=256, depth=2)),
    ],
    ids=str,
)
def test_at_least_forty_db(side: int, spec: ViT) -> None:
    picture = photograph(side)
    found = attacked(spec.build((3, side, side), 10, seed=0), picture)
    assert found.status is Status.COMPUTED
    assert quality(found, picture) >= 40


def test_a_padded_picture() -> None:
    picture = photograph(32)[..., :17, :23]
    assert quality(attacked(ViT().build((3, 17, 23), 10, seed=0), picture), picture) >= 40


def test_torchvisions_transformer_by_what_it_does() -> None:
    torch.manual_seed(0)
    model = VisionTransformer(32, 8, 1, 2, 32, 64, num_classes=5)
    nn.init.normal_(model.heads.head.weight)
    found = find_patches(model, (3, 32, 32))
    assert (found.projection, found.position) == ("conv_proj", "encoder.pos_embedding")
    assert (found.offset, found.count, found.width) == (1, 16, 32)
    picture = photograph(32)
    assert quality(attacked(model, picture), picture) >= 40


@pytest.mark.slow
def test_vit_b_16() -> None:
    torch.manual_seed(0)
    model = vit_b_16(num_classes=10)
    nn.init.normal_(model.heads.head.weight, std=0.02)
    picture = photograph(224)
    assert quality(attacked(model, picture), picture) >= 40


class Logits(nn.Module):
    """A classifier of Hugging Face's whose output is a tensor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.model(pictures).logits
        return logits


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ViT", "DeiT"])
def test_hugging_faces_transformers_by_what_they_do(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
        image_size=32, patch_size=8, num_labels=5,
    )  # fmt: skip
    model = Logits(getattr(transformers, f"{kind}ForImageClassification")(config)).eval()
    picture = photograph(32)
    assert quality(attacked(model, picture), picture) >= 40


def test_normalised_and_resized_in_front_of_the_model_or_in_it() -> None:
    picture, numbers = photograph(16), Normalisation(0.4, 0.3)
    inside = nn.BatchNorm2d(3, affine=False)
    inside.running_mean, inside.running_var = torch.tensor([0.5, 0.4, 0.3]), torch.full((3,), 0.09)
    grown = nn.Upsample(scale_factor=2, mode="bilinear")
    vit = ViT().build((3, 32, 32), 10, seed=0)
    model = nn.Sequential(inside, grown, vit).eval()
    [found] = April().run(model, [seen(model, picture, numbers)])
    assert quality(found, picture) >= 40


def test_more_patches_than_numbers_is_no_solution_but_a_start() -> None:
    picture, model = photograph(32), ViT(width=32, depth=1).build((3, 32, 32), 10, seed=0)
    upload = seen(model, picture)
    [found] = April().run(model, [upload])
    grey = float(psnr(torch.full_like(picture, 0.5), picture))
    assert grey < quality(found, picture) < 40
    best = BestOf()
    start = best.initial(model, {0: upload})[0]
    assert start.data is not None
    assert torch.equal(start.data, found.data)
    assert not best.is_final(start)


def test_the_default_attack_needs_no_search() -> None:
    picture, model = photograph(32), ViT().build((3, 32, 32), 10, seed=0)
    [found] = BestOf(evaluations=1, trials=1).run(model, [seen(model, picture)])
    assert found.status is Status.COMPUTED
    assert quality(found, picture) >= 40


def test_weights_of_zero_pass_nothing_on() -> None:
    """Torchvision's transformers begin with a last layer of zeros."""
    model = VisionTransformer(32, 8, 1, 2, 32, 64, num_classes=5)
    found = attacked(model, photograph(32))
    assert found.status is Status.FAILED
    assert "weights are zero" in (found.error or "")


def test_reasons_to_decline() -> None:
    convolutions = ConvNet().build((1, 8, 8), 3, seed=0)
    with pytest.raises(AttackError, match="no patch projection with a learnable position"):
        find_patches(convolutions, (1, 8, 8))
    frozen = ViT().build((1, 8, 8), 3, seed=0)
    frozen.get_parameter("tokens.positions").requires_grad_(False)
    with pytest.raises(AttackError, match="learnable position embedding"):
        find_patches(frozen, (1, 8, 8))

    class Squared(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x**2

    bent = nn.Sequential(Squared(), ViT().build((1, 8, 8), 3, seed=0))
    with pytest.raises(AttackError, match="not an affine map"):
        find_patches(bent, (1, 8, 8))
