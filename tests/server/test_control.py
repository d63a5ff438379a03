"""The positive control: public pictures, undefended, at the model that the clients answer."""

from dataclasses import replace

import pytest
import torch

from fedsim.attacks import DLG, Dager, Observation, TokenSearch
from fedsim.attacks.functional import parameters, with_statistics
from fedsim.clients.site import site_of
from fedsim.clients.training import gradient
from fedsim.core.names import ADAPTIVE, NAIVE
from fedsim.models import ConvNet, ResNet18
from fedsim.server.control import adaptive_control, control_indices, control_observation
from fedsim.server.victims import Victim
from tests.fedsim.small import TWENTY_EVALUATIONS, groups, small
from tests.fedsim.text_runs import texts
from tests.server.stubs import Stub, run_rounds
from tests.server.wire import global_weights

SEEN = Observation({}, (4,), 1)


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


def test_adaptive_attackers_with_another_attack_have_a_control_of_their_own() -> None:
    control = Victim(1, (), NAIVE, Dager(), None)
    naive = Victim(1, (0,), NAIVE, Dager(), SEEN)
    adaptive = replace(naive, attacker=ADAPTIVE)
    [own] = adaptive_control(control, [control, naive, adaptive], Dager())
    assert own.is_control
    assert (own.attacker, own.attack) == (ADAPTIVE, TokenSearch())
    assert own.name != control.name
    assert adaptive_control(control, [control, naive], Dager()) == []
    unusable = replace(adaptive, observation=None)
    assert adaptive_control(control, [control, naive, unusable], Dager()) == []
    assert adaptive_control(control, [control, naive, adaptive], DLG()) == []
    assert adaptive_control(control, [control, naive, adaptive], Stub()) == []


@pytest.mark.slow
def test_the_control_of_an_adaptive_attacker_of_texts_is_read_by_its_attack() -> None:
    noisy = "clients=[{name='a', count=1, defenses=[{name='gaussian-noise', std=0.001}]}]"
    heard = run_rounds(texts(noisy, "adversary.adaptive=true"))
    assert heard.names(1) == [
        "r0001-c0000-adaptive",
        "r0001-c0000-naive",
        "r0001-control-adaptive",
        "r0001-control-naive",
    ]
    own = next(o for o in heard.outcomes if o.victim.name == "r0001-control-adaptive")
    assert isinstance(own.victim.attack, TokenSearch)
    names = [o.victim.name for o in heard.outcomes]
    assert names.index("r0001-control-adaptive") < names.index("r0001-c0000-adaptive")
