"""Statistics of one batch, read from BatchNorm's buffers."""

import pytest
import torch
from torch import nn

from fedsim.attacks.batch_norm import running_statistics, uploaded_statistics
from fedsim.attacks.functional import parameters, with_statistics


def network(momentum: float | None = 0.1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3, momentum=momentum), nn.Sigmoid(),
        nn.Conv2d(3, 2, 3, stride=2), nn.BatchNorm2d(2, momentum=momentum), nn.Flatten(),
        nn.Linear(18, 4),
    ).double()  # fmt: skip


def buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: b.clone() for k, b in model.state_dict().items()}


@pytest.mark.parametrize("momentum", [0.1, 0.9, None])
def test_the_statistics_of_a_batch_follow_from_the_buffers(momentum: float | None) -> None:
    model, images = network(momentum), torch.rand(4, 1, 9, 9, dtype=torch.float64)
    model(torch.rand(5, 1, 9, 9, dtype=torch.float64))  # the buffers have left their initial values
    before = buffers(model)
    _, exact = with_statistics(model)(parameters(model), images)
    model(images)
    found = uploaded_statistics(model, before, buffers(model), input_shape=(1, 9, 9), batch_size=4)
    assert found is not None
    assert found.keys() == exact.keys()
    assert all(torch.allclose(found[k], exact[k], rtol=1e-8, atol=1e-8) for k in exact)


@pytest.mark.parametrize("passes", [0, 2])
def test_several_batches_or_none_give_no_statistics(passes: int) -> None:
    model = network()
    before = buffers(model)
    for _ in range(passes):
        model(torch.rand(4, 1, 9, 9, dtype=torch.float64))
    after = buffers(model)
    assert uploaded_statistics(model, before, after, input_shape=(1, 9, 9), batch_size=4) is None


def test_a_gradient_without_buffers_gives_no_statistics() -> None:
    model = network()
    shape = {"input_shape": (1, 9, 9), "batch_size": 4}
    own = parameters(model)
    assert uploaded_statistics(model, buffers(model), own, **shape) is None  # type: ignore[arg-type]


def test_running_statistics_lose_the_share_of_their_initial_values() -> None:
    model, images = network(), torch.rand(4, 1, 9, 9, dtype=torch.float64)
    assert running_statistics(model) is None
    _, exact = with_statistics(model)(parameters(model), images)
    model(images)
    found = running_statistics(model)
    assert found is not None
    assert all(torch.allclose(found[k], exact[k]) for k in exact if k.endswith("mean"))
    values = {"1": 4 * 7 * 7, "4": 4 * 3 * 3}
    for layer, count in values.items():  # the buffers keep the unbiased variance
        name = f"{layer}.running_var"
        assert torch.allclose(found[name], exact[name] * count / (count - 1))


def test_a_model_without_batch_norm_has_neither() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    before = buffers(model)
    assert running_statistics(model) is None
    assert uploaded_statistics(model, before, before, input_shape=(1, 2, 2), batch_size=1) is None
