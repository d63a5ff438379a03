"""A malicious server sends its victims another model, and the others the honest one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from flwr.app import ArrayRecord
from torch import Tensor

from fedsim.clients.app import make_client_app
from fedsim.clients.site import site_of
from fedsim.engine.inline import InlineGrid
from fedsim.scenario import Scenario
from fedsim.server.federation import federate
from fedsim.server.manipulating import Sent
from fedsim.server.uploads import Sum, Upload
from tests.fedsim.small import refusal, small
from tests.server.wire import global_weights

RELU = "model.activation='relu'"
TRAPS = "adversary={malicious='trap-weights', rounds=[2]}"
TWO_GROUPS = "clients=[{name='a', count=2}, {name='b', count=1}]"


@dataclass
class Seen:
    sent: list[Sent] = field(default_factory=list)
    arrays: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    uploads: dict[int, Sequence[Upload]] = field(default_factory=dict)
    sums: dict[int, Sum] = field(default_factory=dict)
    final: dict[str, Tensor] = field(default_factory=dict)


def federated(scenario: Scenario) -> Seen:
    site, seen = site_of(scenario.to_toml()), Seen()

    def on_uploads(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
        seen.arrays[server_round] = arrays.to_torch_state_dict()
        seen.uploads[server_round] = uploads

    def on_sum(server_round: int, arrays: ArrayRecord, total: Sum) -> None:
        seen.arrays[server_round] = arrays.to_torch_state_dict()
        seen.sums[server_round] = total

    result = federate(
        InlineGrid(make_client_app(scenario.to_toml()), scenario.num_clients),
        scenario,
        site.model(global_weights(scenario)),
        site.dataset.test,
        on_uploads=on_uploads,
        on_round=lambda server_round, accuracy: None,
        on_sum=on_sum,
        on_sent=seen.sent.append,
    )
    seen.final = result.arrays.to_torch_state_dict()
    return seen


def test_all_clients_in_one_round_cost_that_round() -> None:
    one = federated(small(RELU, "federation.rounds=1"))
    seen = federated(small(RELU, TRAPS))
    [sent] = seen.sent
    assert (sent.server_round, sent.partitions) == (2, (0, 1, 2))
    # The second round is lost to training, the listener got the changed model.
    assert all(torch.equal(one.final[k], v) for k, v in seen.final.items())
    assert not torch.equal(seen.arrays[2]["dense1.weight"], one.final["dense1.weight"])
    assert all(u.problem is None for u in seen.uploads[2])


def test_others_get_the_honest_model_and_train_it() -> None:
    victims = TRAPS.replace("rounds", "victims=['b'], rounds")
    seen = federated(small(RELU, TWO_GROUPS, victims, "federation.rounds=2"))
    honest = federated(small(RELU, TWO_GROUPS, "federation.rounds=2"))
    [sent] = seen.sent
    assert sent.partitions == (2,)
    for ours, theirs in zip(seen.uploads[2], honest.uploads[2], strict=True):
        same = torch.equal(ours.arrays["dense1.weight"], theirs.arrays["dense1.weight"])
        assert same == (ours.partition != 2)
    means = [u.arrays["head.bias"] for u in honest.uploads[2][:2]]
    before = federated(small(RELU, TWO_GROUPS, "federation.rounds=1")).final["head.bias"]
    torch.testing.assert_close(seen.final["head.bias"], before - 0.5 * torch.stack(means).mean(0))


def test_a_secure_sum_answers_the_changed_model() -> None:
    seen = federated(small(RELU, TRAPS, "federation.aggregation='secagg+'"))
    [sent] = seen.sent
    assert seen.sums[2].problem is None
    changed = sent.arrays.to_torch_state_dict()
    assert torch.equal(seen.arrays[2]["dense1.weight"], changed["dense1.weight"])


def test_the_readout_is_the_default_attack() -> None:
    plan = small(RELU, TRAPS).adversary
    assert plan is not None
    assert type(plan.attack).__name__ == "DenseRows"
    other = small(RELU, TRAPS.replace("rounds", "attack='idlg', rounds")).adversary
    assert other is not None
    assert type(other.attack).__name__ == "IDLG"
    assert Scenario.from_toml(small(RELU, TRAPS).to_toml()) == small(RELU, TRAPS)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["adversary={malicious='trap', rounds=[1]}"], "unknown manipulation 'trap'"),
        (
            ["adversary={malicious='trap-weights', rounds_together=true}"],
            "rounds_together cannot combine",
        ),
        (
            [
                "adversary={malicious='trap-weights', victims=['plain']}",
                "federation.aggregation='secagg+'",
            ],
            "set adversary.victims = 'all'",
        ),
    ],
)
def test_plans_that_cannot_be_read_are_refused(overrides: list[str], said: str) -> None:
    assert said in refusal(RELU, *overrides)


def test_an_inserted_block_travels_by_name_to_the_victims_alone() -> None:
    plan = "adversary={malicious={name='imprint', bins=16}, victims=['b'], rounds=[1]}"
    seen = federated(small(TWO_GROUPS, plan, "federation.rounds=1"))
    honest = federated(small(TWO_GROUPS, "federation.rounds=1"))
    first, second, victim = seen.uploads[1]
    assert [u.problem for u in seen.uploads[1]] == [None] * 3
    assert victim.arrays["imprint.weight"].shape == (16, 784)
    assert {k.removeprefix("model.") for k in victim.arrays} > set(first.arrays)
    for ours, theirs in zip((first, second), honest.uploads[1][:2], strict=True):
        assert all(torch.equal(ours.arrays[k], v) for k, v in theirs.arrays.items())


def test_a_secure_sum_holds_an_inserted_block() -> None:
    plan = "adversary={malicious={name='imprint', bins=8}, rounds=[1]}"
    seen = federated(small(plan, "federation.rounds=1", "federation.aggregation='secagg+'"))
    assert seen.sums[1].problem is None
    mean = seen.sums[1].arrays
    assert mean["imprint.weight"].shape == (8, 784)
    single = federated(small(plan, "federation.rounds=1")).uploads[1]
    means = torch.stack([u.arrays["model.head.bias"] for u in single]).mean(0)
    torch.testing.assert_close(mean["model.head.bias"], means, rtol=0, atol=1e-5)


@pytest.mark.parametrize("aggregation", ["plain", "secagg+"])
def test_clients_with_checks_refuse_or_warn(aggregation: str) -> None:
    chain = "[{name='weight-statistics'}]"
    warning = "[{name='weight-statistics', action='warn'}]"
    scenario = small(
        RELU,
        f"clients=[{{name='a', defenses={chain}}}, {{name='b', defenses={warning}, count=3}}]",
        TRAPS,
        f"federation.aggregation='{aggregation}'",
    )
    seen = federated(scenario)
    uploads = (
        seen.uploads if aggregation == "plain" else {r: s.uploads for r, s in seen.sums.items()}
    )
    assert [u.problem for u in uploads[1]] == [None] * 4
    assert [u.did["0.weight-statistics.flagged"] for u in uploads[1]] == [0] * 4
    refused, *warned = uploads[2]
    assert "refused by weight-statistics" in str(refused.problem)
    assert [u.did["0.weight-statistics.flagged"] for u in warned] == [1] * 3
