"""All that clients do in their local training can be stated; what is left out is found."""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor, nn

import fedsim
from fedsim.clients.watching import watching
from fedsim.core.errors import RunError, ScenarioError
from fedsim.data.augmentations import Flip
from fedsim.engine.audit import KeptBatches
from fedsim.engine.audit.details import TrainingDetails, details_in, loss_in, named_loss
from fedsim.engine.audit.request import Request
from fedsim.log.run import Run
from fedsim.log.schema import Doubt, LeakageRecord, ReconstructionRecord
from fedsim.scenario import Federation
from tests.fedsim.engine.audit.apps import CLASSES, RATE, Batch, audited, batch, notes, plain, train

STEPS, SIZE, NODE = 3, 2, 1
FACTORS = (0.5, 1.0, 0.25)
WEIGHTS = (1.0, 2.0, 0.5, 1.0)
STATED = {"batch_size": SIZE, "local_steps": STEPS, "evaluations": 1, "attack": "dlg", "clients": 1}


@dataclass(frozen=True)
class Habits:
    """A client's own loop: its settings, by the names of `fedsim.audit`."""

    factors: tuple[float, ...] = (1.0,) * STEPS
    norm: float | None = None
    mu: float = 0.0
    loss: Callable[[Tensor, Tensor], Tensor] = nn.CrossEntropyLoss()  # noqa: RUF009
    flips: bool = False


def examples(partition: int, server_round: int) -> Batch:
    return batch(partition, server_round, size=SIZE * STEPS)


def trained(net: nn.Module, data: Batch, habits: Habits) -> None:
    """Train as PyTorch's tutorials do."""
    received, steps = copy.deepcopy(net), torch.optim.SGD(net.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(steps, lambda step: habits.factors[step % STEPS])
    for inputs, labels in zip(*(part.split(SIZE) for part in data), strict=True):
        entered = inputs.flip(-1) if habits.flips else inputs
        steps.zero_grad()
        away = zip(net.parameters(), received.parameters(), strict=True)
        cost = habits.loss(net(entered), labels)
        if habits.mu:
            cost = cost + habits.mu / 2 * sum((a - b.detach()).square().sum() for a, b in away)
        cost.backward()
        if habits.norm is not None:
            nn.utils.clip_grad_norm_(net.parameters(), habits.norm)
        steps.step()
        schedule.step()


def client_of(habits: Habits, model: Callable[[], nn.Module] = plain) -> ClientApp:
    client = ClientApp()

    @client.train()
    def fit(message: Message, context: Context) -> Message:
        net = model().train()
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        own = examples(int(context.node_config["partition-id"]), 1)
        trained(net, own, habits)
        content = {
            "arrays": ArrayRecord(net.state_dict()),
            "metrics": MetricRecord({"num-examples": SIZE * STEPS}),
        }
        return Message(RecordDict(content), reply_to=message)

    return client


CASES: dict[str, tuple[Habits, dict[str, Any]]] = {
    "schedule": (
        Habits(factors=FACTORS),
        {"schedule": {"name": "listed", "over": "steps", "factors": FACTORS}},
    ),
    "warm-up": (
        Habits(factors=(1 / 3, 2 / 3, 1.0)),
        {"schedule": {"name": "constant", "over": "steps", "warmup": 2}},
    ),
    "clipping": (Habits(norm=0.3), {"max_grad_norm": 0.3}),
    "fedprox": (Habits(mu=1.0), {"proximal_mu": 1.0}),
    "smoothing": (
        Habits(loss=nn.CrossEntropyLoss(label_smoothing=0.2)),
        {"loss": {"name": "cross-entropy", "smoothing": 0.2}},
    ),
    "class weights": (
        Habits(loss=nn.CrossEntropyLoss(torch.tensor(WEIGHTS))),
        {"loss": {"name": "cross-entropy", "weights": WEIGHTS}},
    ),
}


def explained(folder: Path) -> bool | None:
    records = Run.read(folder).of_kind(ReconstructionRecord)
    [found] = [r.explained for r in records if not r.is_control]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_is_stated_explains_the_truth(name: str, tmp_path: Path) -> None:
    habits, stated = CASES[name]
    train(audited(tmp_path, **{**STATED, "truth": examples}, **stated), client_of(habits))
    assert explained(tmp_path)
    assert not notes(tmp_path)


SAID = {
    "schedule": "another schedule of the learning rate than stated: 0.05, 0.1, 0.025, not 0.1, 0.1",
    "warm-up": "another schedule of the learning rate",
    "clipping": "clips gradients to another norm than stated: 0.3, not no clipping",
    "fedprox": "another weight of FedProx's term than stated: 1.0, not 0.0",
    "smoothing": "another label smoothing than stated: 0.2, not 0",
    "class weights": "other class weights than stated: 1, 2, 0.5, 1, not none",
}


def kept(folder: Path, habits: Habits, **stated: Any) -> KeptBatches:
    """Audit clients that keep their batches, and return what they kept."""
    client, mod = client_of(habits), fedsim.AuditMod(folder / "kept")

    def watched(message: Message, context: Context) -> Message:
        if habits.mu:  # as Flower's FedProx sends it
            message.content["fedprox"] = ConfigRecord({"proximal-mu": habits.mu})
        return mod(message, context, client)

    audit = audited(folder / "run", **{**STATED, "truth": folder / "kept", **stated})
    train(audit, watched)  # type: ignore[arg-type]
    return KeptBatches(folder / "kept")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_is_left_out_is_wrong_equations_and_named(name: str, tmp_path: Path) -> None:
    found = kept(tmp_path, CASES[name][0])
    assert explained(tmp_path / "run") is False
    said = notes(tmp_path / "run")
    assert any(SAID[name] in note for note in said), said
    assert any("the private data do not explain the upload" in note for note in said)
    taken(name, found)


def taken(name: str, found: KeptBatches) -> None:
    """Check that the command takes from a watched training what its auditor would state."""
    _, stated = CASES[name]
    facts = found.facts(NODE, 1)
    request = Request(f"{plain.__module__}:plain", *[None] * 10, uploads="weights", others=OTHERS)
    federation = request.plan(None, facts, found.read(NODE, 1)[0]).scenario("s", 1, 1).federation
    own = Federation.model_validate(
        {"upload": "update", "local_steps": STEPS, "learning_rate": RATE, **stated}
    )
    rates = [
        [each.learning_rate * factor for factor in each.rate_factors(1, SIZE * STEPS)]
        for each in (federation, own)
    ]
    assert rates[0] == pytest.approx(rates[1])
    for key in ("max_grad_norm", "proximal_mu", "loss"):
        assert getattr(federation, key) == getattr(own, key)


OTHERS = {
    "attack": "dlg",
    "evaluations": 1,
    "rounds": [1],
    "clients": 1,
    "time_limit_s": 1.0,
    "seed": 0,
}


def doubts(folder: Path) -> set[Doubt]:
    leakage = Run.read(folder).of_kind(LeakageRecord)
    return {doubt for r in leakage if not r.is_control for doubt in r.score.doubts}


@pytest.mark.slow
def test_augmented_pictures_are_never_called_protected(tmp_path: Path) -> None:
    given = {**STATED, "truth": examples}
    habits = Habits(flips=True)
    train(audited(tmp_path / "stated", **given, augmentations=["flip"]), client_of(habits))
    assert Doubt.NOT_TRAINED_ON in doubts(tmp_path / "stated")
    train(audited(tmp_path / "without", **given), client_of(habits))
    assert Doubt.NOT_TRAINED_ON not in doubts(tmp_path / "without")
    assert Doubt.WRONG_EQUATIONS in doubts(tmp_path / "without")


def dropping() -> nn.Module:
    layers = (nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, CLASSES))
    return nn.Sequential(*layers)


def test_dropout_that_draws_is_said_and_approximate(tmp_path: Path) -> None:
    stated = {**STATED, "truth": examples, "model": dropping}
    train(audited(tmp_path / "run", **stated), client_of(Habits(), dropping), dropping)
    assert {Doubt.APPROXIMATE, Doubt.WRONG_EQUATIONS} <= doubts(tmp_path / "run")
    [said] = [note for note in notes(tmp_path / "run") if "misfit" in note]
    assert "dropout draws in the clients' training" in said


def test_dropout_is_watched() -> None:
    for mode, expected in ((True, 0.3), (False, None)):
        net = dropping().train(mode)
        with watching() as seen:
            nn.functional.cross_entropy(net(torch.rand(2, 1, 8, 8)), torch.tensor([0, 1]))
        assert seen.facts.get("dropout") == expected


def test_clipping_by_another_norm_is_not_followed() -> None:
    net = plain()
    with watching() as seen:
        net(torch.rand(2, 1, 8, 8)).sum().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5, norm_type=float("inf"))
    assert (seen.facts["max_grad_norm"], seen.facts["norm_type"]) == (0.5, float("inf"))
    assert details_in(seen.facts, {}, RATE).max_grad_norm is None


def test_what_is_stated_counts_more_than_what_is_watched() -> None:
    facts = {"rates": [0.1, 0.2], "max_grad_norm": 1.0, "norm_type": 2.0, "proximal_mu": 0.5}
    found = details_in(facts, {"proximal_mu": 0.0, "schedule": "constant"}, 0.2)
    assert found == TrainingDetails(max_grad_norm=1.0)
    listed = details_in(facts, {}, 0.2).schedule
    assert listed == {"name": "listed", "over": "steps", "factors": [0.5, 1.0]}


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        ("crossentropy", "did you mean 'cross-entropy'"),
        ({"name": "cross-entropy", "smoothing": 2}, "loss.smoothing"),
        ({"name": "cross-entropy", "weights": (1.0, 2.0)}, "2 weights for 4 classes"),
    ],
)
def test_wrong_losses_are_refused(loss: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises((RunError, ScenarioError, fedsim.FedsimError), match=text):
        audited(tmp_path / "run", loss=loss)


def test_details_of_training_need_weights(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="max_grad_norm needs upload = 'update'"):
        audited(tmp_path / "run", uploads="gradients", max_grad_norm=1.0)


def test_losses_have_names() -> None:
    assert named_loss(nn.MSELoss()) is None
    assert loss_in({"loss": "mse_loss"}) is None
    assert loss_in({}) == {"name": "cross-entropy"}
    flip = functools.partial(TrainingDetails, augmentations=(Flip(),))
    assert flip().tables()["augmentations"] == [Flip()]
