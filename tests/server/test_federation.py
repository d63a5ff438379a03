"""The rounds of a run, and clients that do harm in them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import Result
from torch import Tensor, nn

from fedsim.clients.app import make_client_app
from fedsim.clients.site import site_of
from fedsim.core.errors import RunError
from fedsim.data import Split
from fedsim.engine.inline import InlineGrid
from fedsim.scenario import Scenario
from fedsim.server.asking import ask_partitions
from fedsim.server.federation import accuracy, federate, upload_shapes
from fedsim.server.grids import DelegateGrid
from fedsim.server.orderly import draw_cohort
from fedsim.server.uploads import Upload
from tests.fedsim.small import small
from tests.server import bad_clients
from tests.server.bad_clients import BAD, Damage, with_one_bad_client
from tests.server.wire import arrays_of, client_reply, global_weights


@dataclass
class Seen:
    """What a run told its listeners."""

    uploads: dict[int, Sequence[Upload]] = field(default_factory=dict)
    accuracies: dict[int, float] = field(default_factory=dict)
    notes: list[tuple[int | None, int | None, str]] = field(default_factory=list)

    def on_note(self, server_round: int | None, partition: int | None, text: str) -> None:
        self.notes.append((server_round, partition, text))

    def on_uploads(self, server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
        self.uploads[server_round] = uploads


def train(scenario: Scenario, app: ClientApp) -> tuple[Result, Seen]:
    """Run all rounds of a scenario with the given clients."""
    site, seen = site_of(scenario.to_toml()), Seen()
    result = federate(
        InlineGrid(app, scenario.num_clients),
        scenario,
        site.model(global_weights(scenario)),
        site.dataset.test,
        on_uploads=seen.on_uploads,
        on_round=seen.accuracies.__setitem__,
        on_note=seen.on_note,
        sizes=[len(own) for own in site.partitions],
    )
    return result, seen


def after_one_round(scenario: Scenario, partitions: Iterable[int]) -> dict[str, Tensor]:
    """Return the model that the honest uploads of these clients lead to, by hand."""
    before = global_weights(scenario)
    sent = [arrays_of(client_reply(scenario, p)) for p in partitions]
    means = {k: torch.stack([s[k] for s in sent]).mean(0) for k in before}
    if scenario.federation.upload == "update":
        return means
    return {k: w - scenario.federation.learning_rate * means[k] for k, w in before.items()}


def assert_close(result: Result, expected: dict[str, Tensor]) -> None:
    found = result.arrays.to_torch_state_dict()
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name].to(value.dtype), value)


@pytest.mark.parametrize("kind", ["gradient", "update"])
def test_an_honest_round_in_closed_form(kind: str) -> None:
    scenario = small("federation.rounds=1", f"federation.upload={kind}")
    result, seen = train(scenario, make_client_app(scenario.to_toml()))
    assert_close(result, after_one_round(scenario, range(3)))
    assert [u.problem for u in seen.uploads[1]] == [None] * 3
    assert list(seen.accuracies) == [0, 1]
    assert all(0 <= a <= 1 for a in seen.accuracies.values())


@pytest.mark.parametrize("kind", ["gradient", "update"])
@pytest.mark.parametrize("damage", bad_clients.UNUSABLE, ids=lambda d: d.__name__)
def test_one_bad_client_is_left_out_and_the_others_go_on(damage: Damage, kind: str) -> None:
    scenario = small("federation.rounds=1", f"federation.upload={kind}")
    result, seen = train(scenario, with_one_bad_client(scenario, damage))
    problems = {u.partition: u.problem for u in seen.uploads[1]}
    assert problems.keys() == {0, 1, 2}
    assert bad_clients.UNUSABLE[damage] in (problems.pop(BAD) or "")
    assert list(problems.values()) == [None, None]
    assert_close(result, after_one_round(scenario, [0, 2]))


@pytest.mark.parametrize("bad", [0, 2])
@pytest.mark.parametrize("kind", ["gradient", "update"])
@pytest.mark.parametrize("damage", bad_clients.ODD_BUT_USABLE, ids=lambda d: d.__name__)
def test_an_odd_upload_that_is_usable_is_used(damage: Damage, kind: str, bad: int) -> None:
    scenario = small("federation.rounds=1", f"federation.upload={kind}")
    result, seen = train(scenario, with_one_bad_client(scenario, damage, bad))
    assert [u.problem for u in seen.uploads[1]] == [None] * 3
    assert_close(result, after_one_round(scenario, range(3)))


def test_a_bad_client_is_bad_in_every_round_and_training_goes_on() -> None:
    scenario = small("federation.rounds=4")
    result, seen = train(scenario, with_one_bad_client(scenario, bad_clients.send_nan))
    assert [[u.problem is None for u in seen.uploads[r]] for r in (1, 2, 3, 4)] == [
        [True, False, True]
    ] * 4
    arrays = result.arrays.to_torch_state_dict()
    assert all(bool(torch.isfinite(v).all()) for v in arrays.values())


def test_a_round_in_which_all_fail_changes_nothing() -> None:
    scenario = small("federation.rounds=2", "clients.0.count=1")
    honest, app = make_client_app(scenario.to_toml()), ClientApp()

    @app.train()
    def fail_first(message: Message, context: Context) -> Message:
        if message.content.config_records["config"]["server-round"] == 1:
            raise OSError("no power")
        return honest(message, context)

    app.query()(honest)
    result, seen = train(scenario, app)
    assert seen.accuracies[0] == seen.accuracies[1]
    assert "no power" in (seen.uploads[1][0].problem or "")
    sent, rate = seen.uploads[2][0].arrays, scenario.federation.learning_rate
    assert_close(result, {k: w - rate * sent[k] for k, w in global_weights(scenario).items()})


def test_a_run_in_which_all_clients_fail_is_an_error() -> None:
    scenario = small("clients.0.count=1")
    app = with_one_bad_client(scenario, bad_clients.fail, bad=0)
    with pytest.raises(RunError, match="no client sent a usable upload in any of the 2 rounds"):
        train(scenario, app)


def test_only_the_cohort_of_a_round_takes_part() -> None:
    scenario = small("federation={rounds=4, fraction=0.5}", "clients.0.count=6")
    _, seen = train(scenario, make_client_app(scenario.to_toml()))
    for server_round, uploads in seen.uploads.items():
        expected = draw_cohort(scenario.seed, server_round, range(6), 0.5)
        assert [u.partition for u in uploads] == expected


def test_frozen_parameters_are_no_part_of_a_gradient() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[0].bias.requires_grad_(False)
    gradient = upload_shapes(small(), model)
    update = upload_shapes(small("federation.upload=update"), model)
    assert set(update) - set(gradient) == {"0.bias"}
    assert update == {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert gradient["1.num_batches_tracked"] == ()


def answering(partition: object) -> ClientApp:
    """Return an app that answers the question for its partition with this."""
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        if partition is None:
            return Message(RecordDict(), reply_to=message)
        return Message(
            RecordDict({"p": MetricRecord({"partition-id": partition})}), reply_to=message
        )

    return app


def test_partitions_are_those_that_the_nodes_name() -> None:
    grid = InlineGrid(make_client_app(small().to_toml()), 4)
    assert dict(ask_partitions(grid, 4, 1.0)) == {1: 0, 2: 1, 3: 2, 4: 3}


class Numbering(DelegateGrid):
    """Gives its nodes partitions, and counts how many were asked; some do not answer."""

    def __init__(self, nodes: int, said: Callable[[int], int], silent: int = 0) -> None:
        super().__init__(InlineGrid(make_client_app(small().to_toml()), nodes))
        self.said, self.asked, self.silent = said, 0, silent

    def partitions(self) -> Mapping[int, int]:
        return {node: self.said(node) for node in self.get_node_ids()}

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        sent = list(messages)
        self.asked += len(sent)
        return list(super().send_and_receive(sent, timeout=timeout))[self.silent :]


def test_few_nodes_are_asked_if_the_grid_numbers_them() -> None:
    grid = Numbering(100, lambda node: node - 1)
    assert dict(ask_partitions(grid, 100, 1.0)) == {n: n - 1 for n in range(1, 101)}
    assert grid.asked <= 8


def test_a_silent_client_of_a_grid_that_numbers_them_does_not_end_the_run() -> None:
    grid = Numbering(3, lambda node: node - 1, silent=1)
    assert dict(ask_partitions(grid, 3, 1.0)) == {1: 0, 2: 1, 3: 2}
    with pytest.raises(RunError, match=r"3 of 3 clients did not answer within 1 s"):
        ask_partitions(Numbering(3, lambda node: node - 1, silent=3), 3, 1.0)


def test_all_nodes_are_asked_if_one_was_numbered_wrongly() -> None:
    grid = Numbering(10, lambda node: (node + 3) % 10)
    assert dict(ask_partitions(grid, 10, 1.0)) == {n: n - 1 for n in range(1, 11)}
    assert grid.asked >= 10


@pytest.mark.parametrize(
    ("app", "nodes", "expected"),
    [
        (answering(0), 2, r"hold the partitions \[0, 0\]; expected each of 0 to 1 once"),
        (answering(7), 1, r"hold the partitions \[7\]"),
        (answering(0.5), 1, "did not report its partition"),
        (answering(None), 1, "did not report its partition"),
        (ClientApp(), 1, "a client could not report its partition: .+"),
        (make_client_app(small().to_toml()), 3, r"hold the partitions \[0, 1, 2\]"),
    ],
    ids=["twice", "beyond", "fraction", "nothing", "error", "too many"],
)
def test_wrong_partitions_are_an_error(app: ClientApp, nodes: int, expected: str) -> None:
    clients = 2 if nodes == 3 else nodes
    with pytest.raises(RunError, match=expected):
        ask_partitions(InlineGrid(app, nodes), clients, 1.0)


def test_clients_that_do_not_come_are_an_error() -> None:
    grid = InlineGrid(make_client_app(small().to_toml()), 2)
    with pytest.raises(RunError, match=r"only 2 of 3 clients connected within 0\.1 s"):
        ask_partitions(grid, 3, 0.1)


class Constant(nn.Module):
    """Says the same class of every image, and counts how it was asked."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.label, self.modes = label, set[bool]()

    def forward(self, images: Tensor) -> Tensor:
        self.modes.add(self.training)
        logits = torch.zeros(len(images), 10)
        logits[:, self.label] = 1
        return logits


@pytest.mark.parametrize("size", [1, 499, 500, 501])
def test_accuracy_is_the_share_of_right_labels_in_eval_mode(size: int) -> None:
    labels = torch.from_numpy(np.arange(size) % 10)
    split = Split(torch.zeros(size, 1, 2, 2, dtype=torch.uint8), labels)
    model = Constant(3)
    assert accuracy(model, split) == pytest.approx(int((labels == 3).sum()) / size)
    assert model.modes == {False}
    assert model.training
