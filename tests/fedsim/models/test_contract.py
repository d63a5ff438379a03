"""What holds for every registered model."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.func import functional_call, grad, replace_all_batch_norm_modules_, vmap

from fedsim.core.errors import DataError
from fedsim.core.modality import PICTURES
from fedsim.core.registry import MODELS
from fedsim.models import MLP, ConvNet, LeNet, ModelSpec, Precode, ResNet18
from tests.rounding import assert_same

SPECS = [
    LeNet(),
    MLP(),
    MLP(hidden=()),
    MLP(hidden=(16, 8), activation="tanh"),
    ConvNet(),
    ConvNet(channels=(4, 8), activation="softplus"),
    Precode(),
    Precode(base="convnet", bottleneck=8),
    Precode(base="mlp"),
    ResNet18(),
    ResNet18(batch_norm="eval"),
    ResNet18(small_images=False),
]
SHAPES = [(1, 28, 28), (3, 32, 32), (3, 17, 23)]
Params = dict[str, Tensor]
pytestmark = pytest.mark.numeric


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_all_models_are_here() -> None:
    on_pictures = {n for n in MODELS.names() if MODELS.get(n).modality == PICTURES}
    assert {MODELS.name_of(spec) for spec in SPECS} == on_pictures
    assert MODELS.names() == ["bert", "convnet", "gpt2", "lenet", "mlp", "precode", "resnet18"]


@pytest.mark.parametrize("name", MODELS.names())
def test_defaults_and_unknown_parameters(name: str) -> None:
    kind = MODELS.get(name)
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    assert pickle.loads(pickle.dumps(kind())) == kind()  # noqa: S301 - our own pickle
    with pytest.raises(ValidationError, match="nonsense"):
        kind(nonsense=1)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits(spec: ModelSpec, shape: tuple[int, int, int]) -> None:
    model = spec.build(shape, 7, seed=0)
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()
    assert model.training
    assert all(p.dtype == torch.float32 and p.requires_grad for p in model.parameters())
    assert not any(getattr(layer, "inplace", False) for layer in model.modules())


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_weights_depend_on_the_seed_alone(spec: ModelSpec) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = spec.build((1, 28, 28), 10, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = spec.build((1, 28, 28), 10, seed=3).state_dict()
    other = spec.build((1, 28, 28), 10, seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize(
    ("shape", "classes"), [((1, 0, 28), 10), ((28, 28), 10), ((1, 28, 28), 1)], ids=str
)
def test_impossible_tasks(spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> None:
    with pytest.raises(DataError, match="expected"):
        spec.build(shape, classes, seed=0)


def matching(model: nn.Module, params: Params) -> Callable[[Tensor, Tensor, Params], Tensor]:
    """The objective of gradient matching for one victim."""

    def loss(params: Params, image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, params, (image[None],))
        return nn.functional.cross_entropy(logits, label[None])

    def objective(image: Tensor, label: Tensor, target: Params) -> Tensor:
        found = grad(loss)(params, image, label)
        return torch.stack([(found[name] - target[name]).square().sum() for name in found]).sum()

    return objective


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_gradients_can_be_matched_for_many_victims(spec: ModelSpec) -> None:
    # The stem for large images would leave a map of 1 x 1, which has no statistics.
    shape = (1, 12, 12) if spec != ResNet18(small_images=False) else (1, 40, 40)
    model = copy.deepcopy(spec.build(shape, 3, seed=0)).double()
    if not (isinstance(spec, ResNet18) and spec.batch_norm == "eval"):
        replace_all_batch_norm_modules_(model)
    params = {name: p.detach() for name, p in model.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, *shape, generator=generator).double()
    labels = torch.tensor([0, 2])
    target = {name: p.new_zeros(2, *p.shape) for name, p in params.items()}
    objective = matching(model, params)
    together = vmap(grad(objective))(images, labels, target)
    assert together.shape == images.shape
    assert together.isfinite().all()
    assert together.abs().max() > 0
    alone = grad(objective)(images[1], labels[1], {name: t[1] for name, t in target.items()})
    assert_same(together[1], alone)
