"""Registered metrics of third parties are in the scores, and a broken one ends nothing."""

import copy
from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from fedsim.attacks import Reconstruction
from fedsim.attacks.types import Status
from fedsim.clients.site import open_site
from fedsim.core.errors import FedsimWarning
from fedsim.core.modality import PICTURES, TEXTS
from fedsim.core.registry import METRICS
from fedsim.log.schema import ExampleScore, Meaning
from fedsim.modalities.pictures.judge import PictureJudge
from fedsim.modalities.texts.judge import TextJudge
from fedsim.models import lite0 as pretrained
from fedsim.scenario import Scenario
from fedsim.scoring.conclusion import Conclusion
from fedsim.scoring.further import FurtherMetrics
from fedsim.scoring.judge import Judge
from fedsim.scoring.metrics import PictureMetric, TextMetric
from tests.fedsim.small import small
from tests.fedsim.text_runs import texts

OWN = ("mse", "psnr", "ssim", "detail")
SEEN = ("aligned_psnr", "aligned_blind", "rank", "candidates")
ZEROS = torch.zeros(2, 1, 4, 4)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    METRICS.names()
    monkeypatch.setattr(METRICS, "_classes", dict(METRICS._classes))
    monkeypatch.setattr(pretrained, "_FOLDER", "no_such_package")  # as without the extra


@pytest.fixture
def _registered() -> None:
    @METRICS.register("mean_error")
    class MeanError(PictureMetric):
        """Mean absolute error."""

        higher_is_better: ClassVar[bool] = False

        def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
            assert rebuilt.min() >= 0
            assert rebuilt.max() <= 1
            return (rebuilt - originals).abs().flatten(1).mean(1)

    @METRICS.register("same_length")
    class SameLength(TextMetric):
        """1 if both texts have as many tokens, else 0."""

        def score(
            self, rebuilt: Sequence[Sequence[str]], originals: Sequence[Sequence[str]]
        ) -> Tensor:
            pairs = zip(rebuilt, originals, strict=True)
            return torch.tensor([float(len(r) == len(o)) for r, o in pairs])


def scores(kind: type[Judge], case: Scenario, data: Tensor | None = None) -> Sequence[ExampleScore]:
    """Return the scores of two private examples, rebuilt perfectly or as given."""
    site = open_site(case)
    judge = kind(site.dataset, site.architecture)
    inputs, labels = site.batches(0, 1)[0]
    originals = judge.originals(inputs, labels)
    found = Reconstruction(originals if data is None else data, None, 0, 0, Status.COMPUTED, 1)
    nothing = torch.zeros(0, dtype=torch.long)
    leaked = Conclusion(Meaning.LEAKED)
    return judge.judge(found, originals, labels, nothing, lambda word, below: leaked)[1]


@pytest.mark.usefixtures("_registered")
def test_a_metric_of_pictures_is_in_each_score_and_baseline() -> None:
    for score in scores(PictureJudge, small("federation.batch_size=2")):
        assert list(score.metrics) == [*OWN, *SEEN, "mean_error"]
        assert score.metrics["mean_error"] == 0
        for blind in score.baselines.values():
            assert list(blind) == ["psnr", "ssim", "mean_error"]
            assert 0 < (blind["mean_error"] or 0) < 1


@pytest.mark.usefixtures("_registered")
def test_a_reconstruction_that_is_not_finite_has_no_figure() -> None:
    data = torch.full((2, 1, 28, 28), torch.nan)
    for score in scores(PictureJudge, small("federation.batch_size=2"), data):
        assert score.metrics == {}
        assert score.baselines["grey"]["mean_error"] is not None


@pytest.mark.usefixtures("_registered")
def test_a_metric_of_texts_is_in_each_score_and_baseline() -> None:
    for score in scores(TextJudge, texts()):
        assert score.metrics["same_length"] == 1
        assert "mean_error" not in score.metrics
        assert all("same_length" in blind for blind in score.baselines.values())


@pytest.mark.parametrize(
    ("scored", "problem"),
    [
        (RuntimeError("out of ideas"), "RuntimeError: out of ideas"),
        (torch.zeros(2, 1), r"expected a tensor of shape \(2,\), not shape \(2, 1\)"),
        (0.5, r"expected a tensor of shape \(2,\), not float"),
    ],
)
def test_a_broken_metric_is_one_warning(scored: object, problem: str) -> None:
    @METRICS.register("broken")
    class Broken(PictureMetric):
        """Fail."""

        def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
            if isinstance(scored, Exception):
                raise scored
            return scored  # type: ignore[return-value]  # the point of the test

    further = FurtherMetrics(PICTURES, OWN)
    with pytest.warns(FedsimWarning, match=f"the metric 'broken' failed .*{problem}"):
        assert further.figures(ZEROS, ZEROS) == [{"broken": None}] * 2
    assert further.figures(ZEROS, ZEROS) == [{"broken": None}] * 2  # warnings are errors here


def test_a_figure_that_is_not_finite_is_none() -> None:
    @METRICS.register("half")
    class Half(PictureMetric):
        """Compute every other figure."""

        def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
            return torch.tensor([1.0, torch.nan])

    assert FurtherMetrics(PICTURES, OWN).figures(ZEROS, ZEROS) == [{"half": 1.0}, {"half": None}]


def test_a_metric_changes_neither_data_nor_randomness() -> None:
    @METRICS.register("rude")
    class Rude(TextMetric):
        """Empty the texts, and draw."""

        def score(self, rebuilt: list[list[str]], originals: list[list[str]]) -> Tensor:  # type: ignore[override]
            rebuilt[0].clear()
            return torch.rand(len(originals))

    found, before = [["a"], ["b"]], torch.get_rng_state()
    kept = copy.deepcopy(found)
    own = [name for name in METRICS.names() if name != "rude"]
    assert set(FurtherMetrics(TEXTS, own).figures(found, found)[0]) == {"rude"}
    assert found == kept
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [*OWN, "rouge_l"])
def test_the_name_of_a_built_in_figure_is_taken(name: str) -> None:
    with pytest.raises(ValueError, match=f"the metric name '{name}' is taken"):

        @METRICS.register(name)
        class Mine(PictureMetric):
            """Zeros."""

            def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
                return torch.zeros(len(originals))
