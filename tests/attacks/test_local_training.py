"""Local training as people configure it: schedules, clipping, FedProx's term, and attacks on it."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from fedsim.attacks import IDLG, SGD, Adam, LocalOptimiser, LocalTraining, Observation
from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.clients.training import Batch, local_training
from fedsim.core.registry import SCHEDULES
from fedsim.models import LeNet
from fedsim.scenario import optimizers
from fedsim.scenario.schedules import Constant, Cosine, Listed, Schedule, Step
from fedsim.server.local_training import training_of
from tests.fedsim.small import refusal, small
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric

SHAPE, CLASSES, RATE = (1, 6, 6), 3, 0.1
FACTORS, MU, NORM = (0.5, 1.0, 0.25), 0.3, 0.8
PLAIN = LocalTraining(RATE, 3, 2)
ALL = replace(PLAIN, factors=FACTORS, proximal_mu=MU, max_norm=NORM)
SETTINGS = {
    "schedule": {"factors": FACTORS},
    "clipping": {"max_norm": NORM},
    "fedprox": {"proximal_mu": MU},
}


def model() -> nn.Module:
    return LeNet().build(SHAPE, CLASSES, seed=0).double()


def batches(steps: int = 3, size: int = 2) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    data = torch.rand((steps * size, *SHAPE), generator=generator, dtype=torch.float64)
    labels = torch.arange(steps * size) % CLASSES
    return list(zip(data.split(size), labels.split(size), strict=True))


def observed(
    training: LocalTraining, own: list[Batch], optimizer: optimizers.Optimizer
) -> Observation:
    """Return the observation of a client that trains in this way."""
    sent = model()
    trained = copy.deepcopy(sent)
    local_training(
        trained,
        own,
        RATE,
        optimizer=optimizer,
        factors=training.factors or (),
        proximal_mu=training.proximal_mu,
        max_grad_norm=training.max_norm,
    )
    count = sum(len(labels) for _, labels in own)
    before, after = parameters(sent), parameters(trained)
    return Observation.from_training(before, after, training, input_shape=SHAPE, examples=count)


def test_a_client_trains_as_a_loop_of_pytorch_does() -> None:
    own, hand = batches(), model()
    found = local_training(
        model(), own, RATE, factors=FACTORS, proximal_mu=MU, max_grad_norm=NORM
    ).arrays
    received = copy.deepcopy(hand)
    steps = torch.optim.SGD(hand.parameters(), lr=RATE)
    norms = []
    for (data, labels), factor in zip(own, FACTORS, strict=True):
        steps.param_groups[0]["lr"] = RATE * factor
        steps.zero_grad()
        away = zip(hand.parameters(), received.parameters(), strict=True)
        loss = F.cross_entropy(hand(data), labels)
        loss = loss + MU / 2 * torch.stack([(a - b.detach()).square().sum() for a, b in away]).sum()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(hand.parameters(), NORM)))
        steps.step()
    assert max(norms) > NORM, "the test needs a gradient that is clipped"
    for name, value in hand.state_dict().items():
        assert_same(found[name], value, scale=1.0)


@pytest.mark.parametrize(
    ("optimizer", "optimiser"),
    [
        (optimizers.Sgd(), SGD()),
        (optimizers.Sgd(momentum=0.9, weight_decay=0.1), SGD(0.1, 0.9)),
        (optimizers.Adam(), Adam()),
    ],
    ids=["sgd", "momentum", "adam"],
)
def test_the_private_data_explain_the_upload_under_the_right_equations_alone(
    optimizer: optimizers.Optimizer, optimiser: LocalOptimiser
) -> None:
    training = replace(ALL, optimiser=optimiser)
    own = batches()
    data, labels = (torch.cat(parts) for parts in zip(*own, strict=True))
    seen = observed(training, own, optimizer)
    fit = IDLG().truth_fit(model(), seen, data, labels)
    assert fit.explained
    assert fit.relative_objective < 1e-12
    for settings in SETTINGS.values():
        without = {k: getattr(PLAIN, k) for k in settings}
        wrong = replace(seen, training=replace(training, **without))
        assert not IDLG().truth_fit(model(), wrong, data, labels).explained, settings


def test_a_clipped_step_is_told_by_its_norm() -> None:
    one = batches(1)
    whole = observed(LocalTraining(RATE, 1, 2), one, optimizers.Sgd())
    norm = float(torch.cat([g.flatten() for g in whole.gradient.values()]).norm())
    assert whole.training is None
    for share, clipped in ((0.5, True), (2.0, False)):
        training = LocalTraining(RATE, 1, 2, max_norm=share * norm)
        seen = observed(training, one, optimizers.Sgd())
        assert (seen.training is not None) is clipped
        assert IDLG().truth_fit(model(), seen, *one[0]).explained
        plain = replace(seen, training=None)
        assert IDLG().truth_fit(model(), plain, *one[0]).explained is not clipped


@pytest.mark.parametrize("size", [1, 2])
def test_labels_are_read_off_a_clipped_step(size: int) -> None:
    one = batches(1, size)
    seen = observed(LocalTraining(RATE, 1, size, max_norm=0.05), one, optimizers.Sgd())
    assert seen.training is not None
    assert known_or_inferred(model(), seen).tolist() == one[0][1].tolist()


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (Constant(), [1, 1, 1, 1]),
        (Constant(warmup=3), [0.25, 0.5, 0.75, 1]),
        (Step(every=2, gamma=0.5), [1, 1, 0.5, 0.5]),
        (Listed(factors=(1.0, 0.25)), [1, 0.25, 0.25, 0.25]),
        (Step(every=1, gamma=0.5, warmup=1), [0.5, 1, 0.5, 0.25]),
        (Cosine(least=0.5), [1, 0.5 + 0.25 * (1 + 0.5**0.5), 0.75, 0.5 + 0.25 * (1 - 0.5**0.5)]),
    ],
)
def test_factors_of_schedules(schedule: Schedule, wanted: list[float]) -> None:
    assert [schedule.factor(i, 4) for i in range(4)] == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["step", "cosine"])
def test_schedules_are_those_of_torch(name: str) -> None:
    schedule: Schedule = SCHEDULES.get(name)(**({"every": 2} if name == "step" else {}))
    steps = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    kinds = torch.optim.lr_scheduler
    peer = kinds.StepLR(steps, 2) if name == "step" else kinds.CosineAnnealingLR(steps, 6)
    for position in range(6):
        assert schedule.factor(position, 6) == pytest.approx(steps.param_groups[0]["lr"])
        steps.step()
        peer.step()


def test_the_server_knows_the_rate_of_each_round_and_step() -> None:
    update = "federation.upload='update'"
    over = small(update, "federation.rounds=4", "federation.schedule={name='step', every=1}")
    rates = [training_of(over.federation, 0.5, 2, server_round=r).rates for r in (1, 2, 3)]
    assert rates == [[pytest.approx(0.5)], [pytest.approx(0.05)], [pytest.approx(0.005)]]
    steps = (
        "federation={upload='update', local_steps=2, schedule={name='step', every=1, over='steps'}}"
    )
    within = small(steps).federation
    assert training_of(within, 0.5, 4, server_round=2).rates == pytest.approx([0.5, 0.05])


@pytest.mark.parametrize("setting", ["schedule='cosine'", "max_grad_norm=1.0", "proximal_mu=0.1"])
def test_settings_of_local_training_need_updates(setting: str) -> None:
    name = setting.split("=", maxsplit=1)[0]
    assert f"{name} needs upload = 'update'" in refusal(f"federation={{{setting}}}")


def test_a_search_of_labels_ends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = observed(PLAIN, batches(), optimizers.Sgd())
    searched = []

    def labels(self: IDLG, model: nn.Module, observation: Observation) -> None:
        searched.append(observation)

    monkeypatch.setattr(IDLG, "_labels", labels)
    found = IDLG(evaluations=2).run(model(), [seen] * 3, should_stop=lambda: bool(searched))
    assert len(searched) == 1
    assert all("stopped before" in str(one.error) for one in found)
