"""Clients compare the models that they received, and notice a server that lies to some."""

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedsim.clients.announcing import Announcing
from fedsim.clients.check_mod import CheckMod
from fedsim.clients.defenses import ModelAgreement, Received
from fedsim.core.agreement import AGREEMENT_RECORD, model_digest, simulated_key, tag_of, vouched
from fedsim.engine.flower import identify_task
from tests.clients.test_check_mod import echo
from tests.fedsim.small import small
from tests.server.test_manipulating import federated
from tests.server.wire import context_of

identify_task()
WEIGHTS = {"w": torch.arange(6.0).view(2, 3)}
KEY = simulated_key(1)
CHECKED = "clients=[{name='a', count=10, defenses=['model-agreement']}]"
SMALL = ("model={name='mlp', hidden=[8]}", "federation={rounds=2, aggregation='secagg+'}")


def test_it_compares_with_those_who_vouch() -> None:
    same, other = model_digest(WEIGHTS), model_digest({"w": WEIGHTS["w"] + 1})
    check = ModelAgreement()

    def problem(others: dict[int, bytes] | None, announced: bytes | None = same) -> str | None:
        return check.examine(Received(WEIGHTS, {}, others=others, announced=announced)).problem

    assert problem({1: same, 2: same}) is None
    assert "clients 2 received another model" in str(problem({1: same, 2: other, 3: same}))
    assert "1 other clients vouch" in str(problem({1: same}))
    assert "expected at least 2" in str(problem(None))
    for announced in (other, None):
        assert "asked to announce" in str(problem({1: same, 2: same}, announced))


def test_only_tags_under_the_key_count() -> None:
    digest = model_digest(WEIGHTS)
    right = tag_of(KEY, 1, 3, digest)
    arguments = ([0, 1, 2], [digest] * 3, [right] * 3)
    assert vouched(KEY, 0, 3, *arguments) == {1: digest}
    assert vouched(KEY, 0, 4, *arguments) == {}
    assert vouched(simulated_key(2), 0, 3, *arguments) == {}


@pytest.mark.slow
@pytest.mark.parametrize("aggregation", ["plain", "secagg+"])
def test_honest_rounds_raise_no_alarm(aggregation: str) -> None:
    seen = federated(small(*SMALL, CHECKED, f"federation.aggregation='{aggregation}'"))
    uploads = (
        seen.uploads if aggregation == "plain" else {k: v.uploads for k, v in seen.sums.items()}
    )
    for server_round in (1, 2):
        assert [u.problem for u in uploads[server_round]] == [None] * 10
        assert {u.did["0.model-agreement.others"] for u in uploads[server_round]} == {9.0}


@pytest.mark.slow
def test_it_stops_inconsistent_models() -> None:
    plan = "adversary={malicious='inconsistent-models', rounds=[2]}"
    seen = federated(small(*SMALL, CHECKED, plan))
    assert seen.sums[1].problem is None
    assert seen.sums[2].isolated == ()
    assert "clients were left" in str(seen.sums[2].problem)
    dropped = seen.sums[2].dropped
    assert len(dropped) == 10
    assert all("refused by model-agreement" in why for why in dropped.values())


def content_of(weights: dict[str, torch.Tensor], server_round: int) -> RecordDict:
    config = ConfigRecord({"server-round": server_round})
    return RecordDict({"arrays": ArrayRecord(weights), "config": config})


def listed(*said: Message) -> ConfigRecord:
    ones = [reply.content.config_records[AGREEMENT_RECORD] for reply in said]
    return ConfigRecord({f"{k}s": [one[k] for one in ones] for k in ("client", "digest", "tag")})  # type: ignore[misc]


def test_any_app_compares_by_a_mod() -> None:
    mods = [CheckMod([ModelAgreement(least=1)], {}, Announcing(c, KEY)) for c in (0, 1)]
    contexts = [context_of(c) for c in (0, 1)]

    def ask(client: int, kind: str, **more: ConfigRecord) -> Message:
        content = RecordDict({**content_of(WEIGHTS, 2), **more})
        message = Message(content, dst_node_id=1, message_type=kind)
        return mods[client](message, contexts[client], echo)

    said = [ask(client, "query.announce") for client in (0, 1)]
    agreed = ask(0, "train", agreement=listed(*said))
    assert agreed.content.config_records["defenses"]["0.model-agreement.others"] == 1
    refused = ask(0, "train")
    assert "0 other clients vouch" in refused.error.reason
    with pytest.raises(ValueError, match="'model-agreement' compares with other clients"):
        CheckMod([ModelAgreement()], {})


def test_a_server_cannot_have_one_model_announced_and_another_trained() -> None:
    """It lets clients 1 and 2 vouch for what client 0 gets, and sends them another model."""
    mods = [CheckMod([ModelAgreement()], {}, Announcing(c, KEY)) for c in range(3)]
    contexts = [context_of(c) for c in range(3)]
    other = {"w": WEIGHTS["w"] + 1}

    def ask(
        client: int, kind: str, weights: dict[str, torch.Tensor], said: list[Message], number: int
    ) -> Message:
        content = content_of(weights, number)
        content[AGREEMENT_RECORD] = listed(*said)
        message = Message(content, dst_node_id=1, message_type=kind)
        return mods[client](message, contexts[client], echo)

    said = [ask(c, "query.announce", WEIGHTS, [], 2) for c in range(3)]
    assert not ask(0, "train", WEIGHTS, said, 2).has_error()
    for client in (1, 2):
        for number in (1, 2):  # nor for an earlier round
            again = ask(client, "query.announce", other, [], number)
            assert "second model" in again.error.reason
        assert "asked to announce" in ask(client, "train", other, said, 2).error.reason
    assert "second model" in ask(0, "query.announce", WEIGHTS, [], 0).error.reason
    assert not ask(0, "query.announce", other, [], 3).has_error()
