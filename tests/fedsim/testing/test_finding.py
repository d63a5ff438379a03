"""Classes that break a contract are found, and the error says what does not hold."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from fedsim.attacks import IDLG
from fedsim.clients.defenses import Defense, Protected
from fedsim.core.registry import ATTACKS, DATASETS, DEFENSES, MANIPULATIONS, METRICS, MODELS
from fedsim.data import Dataset, FashionMnistMini
from fedsim.models import MLP, ImageShape
from fedsim.scoring.metrics import Metric, PictureMetric
from fedsim.server.malicious import Changed, Manipulation, Public
from fedsim.testing import (
    ContractError,
    check_attack,
    check_dataset,
    check_defense,
    check_manipulation,
    check_metric,
    check_model,
    defense_checks,
    manipulation_checks,
)


@pytest.fixture(autouse=True)
def _own_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (ATTACKS, DATASETS, DEFENSES, MANIPULATIONS, METRICS, MODELS):
        registry.names()
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))


def test_a_defense_that_modifies_what_it_is_given() -> None:
    @DEFENSES.register("in-place")
    class InPlace(Defense):
        """Halve each value, where it stands."""

        def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Any:
            return Protected(
                {k: x.div_(2) if x.is_floating_point() else x for k, x in upload.items()}
            )

    with pytest.raises(ContractError, match=r"^InPlace, the upload given is untouched: .*modified"):
        check_defense(InPlace)
    assert "InPlace, the upload given is untouched" in map(str, defense_checks("in-place"))


def test_a_defense_with_randomness_of_its_own() -> None:
    @DEFENSES.register("restless")
    class Restless(Defense):
        """Draw from the global generator."""

        def protect_upload(self, upload: Mapping[str, Tensor], generator: torch.Generator) -> Any:
            return Protected(
                {
                    k: x + torch.randn(x.shape) if x.is_floating_point() else x
                    for k, x in upload.items()
                }
            )

    with pytest.raises(ContractError, match="global random state was changed"):
        check_defense(Restless)


def test_a_parameter_without_description_or_example() -> None:
    @DEFENSES.register("silent")
    class Silent(Defense):
        """Say nothing of the parameter."""

        share: Annotated[float, Field(ge=0)]

    with pytest.raises(ContractError, match="share"):
        check_defense(Silent)


def test_a_class_that_is_not_registered() -> None:
    class Loose(Defense):
        """Not registered."""

    with pytest.raises(ContractError, match="Loose is not registered as defense"):
        check_defense(Loose)


def test_a_model_that_works_in_place() -> None:
    @MODELS.register("hasty")
    class Hasty(MLP):
        """A perceptron with an activation in place."""

        def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
            plain = super().architecture(image_shape, num_classes)
            return nn.Sequential(plain, nn.ELU(inplace=True))

    with pytest.raises(ContractError, match="work in place"):
        check_model(Hasty)


def test_a_data_set_that_is_another_each_time() -> None:
    @DATASETS.register("moody")
    class Moody(FashionMnistMini):
        """Clothes in another order each time."""

        def load(self, data_dir: Any) -> Dataset:
            loaded = super().load(data_dir)
            order = torch.randperm(len(loaded.train))
            train = type(loaded.train)(loaded.train.images[order], loaded.train.labels[order])
            return Dataset(loaded.name, train, loaded.test, loaded.classes)

    with pytest.raises(ContractError, match="train: other pictures"):
        check_dataset(Moody)


@pytest.mark.slow
def test_an_attack_that_looks_at_other_victims() -> None:
    @ATTACKS.register("nosy")
    class Nosy(IDLG):
        """iDLG that gives everybody the reconstruction of the first victim."""

        def _reconstruct(self, model: nn.Module, observations: Any, **rest: Any) -> Any:
            found = super()._reconstruct(model, observations, **rest)
            return dict.fromkeys(found, next(iter(found.values())))

    with pytest.raises(ContractError, match="other victims matter"):
        check_attack(Nosy, evaluations=2)


def error(rebuilt: Tensor, originals: Tensor) -> Tensor:
    return (rebuilt - originals).abs().flatten(1).mean(1)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (error, "the original itself scores best"),
        (lambda r, o: -error(r, o).mean(), r"one finite number .*: shape \(\)"),
        (lambda r, o: -error(r, o) / 0, "a score is not finite"),
        (lambda r, o: -error(r, o) * len(o), "without the others"),
        (lambda r, o: -error(r, o) * torch.rand(()), "another score the second time"),
        (lambda r, o: -error(r.sub_(o), torch.zeros_like(o)), "what was given was modified"),
    ],
)
def test_a_metric_that_breaks_a_claim(score: Callable[..., Tensor], message: str) -> None:
    @METRICS.register("broken")
    class Broken(PictureMetric):
        """Compute what the case says."""

        def score(self, rebuilt: Tensor, originals: Tensor) -> Tensor:
            return score(rebuilt, originals)

    with pytest.raises(ContractError, match=message):
        check_metric("broken")


def test_a_metric_of_no_modality() -> None:
    @METRICS.register("lost")
    class Lost(Metric):
        """Say nothing of the modality."""

        def score(self, rebuilt: Any, originals: Any) -> Tensor:
            return torch.zeros(len(originals))

    with pytest.raises(ContractError, match="no modality is named None"):
        check_metric(Lost)


def test_a_manipulation_that_breaks_a_claim() -> None:
    @MANIPULATIONS.register("drawing-globally")
    class Careless(Manipulation):
        """Weights of the global generator."""

        readout: ClassVar[str] = "dense-rows"

        def change(self, model: nn.Module, public: Public, generator: torch.Generator) -> Changed:
            with torch.no_grad():
                next(model.parameters()).normal_()
            return Changed(model, "drew weights", ("elsewhere",), 2.0)

    with pytest.raises(ContractError, match="global random state was changed"):
        check_manipulation(Careless)
    claims = {str(check): check for check in manipulation_checks(Careless)}
    [described] = [c for name, c in claims.items() if "describes" in name]
    with pytest.raises(ContractError, match="'elsewhere'"):
        described()
