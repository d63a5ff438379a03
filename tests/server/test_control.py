"""The positive control: public pictures, undefended, at the model that the clients answer."""

import torch

from fedsim.attacks import Observation
from fedsim.attacks.functional import parameters, with_statistics
from fedsim.clients.site import site_of
from fedsim.clients.training import gradient
from fedsim.models import ConvNet, ResNet18
from fedsim.server.control import control_indices, control_observation
from tests.fedsim.small import TWENTY_EVALUATIONS, groups, small
from tests.server.stubs import Stub, run_rounds
from tests.server.wire import global_weights


def test_its_pictures_are_a_function_of_seed_and_round() -> None:
    public = site_of(small().to_toml()).dataset.test

    def drawn(seed: int, server_round: int) -> tuple[int, ...]:
        return tuple(control_indices(public, 6, seed=seed, server_round=server_round).tolist())

    assert drawn(1, 1) == drawn(1, 1)
    assert len({drawn(1, 1), drawn(1, 2), drawn(2, 1)}) == 3
    assert len(set(drawn(1, 1))) == 6
    assert all(0 <= i < len(public) for i in drawn(1, 1))


def test_its_gradient_is_that_of_an_honest_client() -> None:
    site = site_of(small().to_toml())
    indices = control_indices(site.dataset.test, 3, seed=1, server_round=1)
    model = site.model(global_weights(small()))
    found = control_observation(model, site.dataset.test, indices)
    exact = gradient(model, site.dataset.test.batch(indices)).arrays
    assert set(found.gradient) == set(exact)
    assert all(torch.equal(found.gradient[k], g) for k, g in exact.items())
    assert (found.input_shape, found.batch_size, found.labels) == ((1, 28, 28), 3, None)


def test_it_shares_no_buffers() -> None:
    public = site_of(small().to_toml()).dataset.test
    model = ResNet18().build((1, 28, 28), 10, seed=1)
    indices = control_indices(public, 2, seed=1, server_round=1)
    assert not [k for k in control_observation(model, public, indices).gradient if "running" in k]


def control(*overrides: str) -> Observation:
    attack = Stub()
    run_rounds(small(TWENTY_EVALUATIONS, *overrides), attack=attack)
    return attack.calls[0].observations[0]


def test_it_is_undefended_and_of_one_step_whatever_the_clients_do() -> None:
    plain = control()
    defended = control(groups("[{name='gaussian-noise', std=1.0}]"))
    steps = control("federation={upload='update', local_steps=3, batch_size=2, learning_rate=9.0}")
    for other in (defended, steps):
        assert other.batch_size == plain.batch_size == 2
        assert all(torch.equal(other.gradient[k], g) for k, g in plain.gradient.items())


def test_it_does_not_touch_the_model_that_is_attacked() -> None:
    public = site_of(small().to_toml()).dataset.test
    model = ConvNet(channels=(2,), batch_norm=True).build((1, 28, 28), 10, seed=1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    indices = control_indices(public, 2, seed=1, server_round=1)
    found = control_observation(model, public, indices, reads_statistics=True)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in before.items())
    _, exact = with_statistics(model)(parameters(model), public.batch(indices)[0])
    assert found.statistics is not None
    for name, value in exact.items():
        assert torch.allclose(found.statistics[name], value, rtol=1e-4, atol=1e-5)
