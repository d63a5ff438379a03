"""CKKS: the server adds what it cannot read."""

from collections.abc import Iterable

import pytest
import torch

from fedsim.core.vectors import flat
from fedsim.scenario import Scenario
from fedsim.server.secure.ckks import CkksProtocol
from fedsim.server.secure.strategy import Revealed
from tests.fedsim.small import small
from tests.server.secure.rounds import dropping, mean_of, plain_uploads, stage_of, train
from tests.server.wire import global_weights, same

ts = pytest.importorskip("tenseal")

SECURE = "federation={aggregation='ckks', rounds=1, batch_size=2, learning_rate=0.5}"
PRECISION = 1e-6


def hidden(*overrides: str, clients: int = 3) -> Scenario:
    return small(SECURE, f"clients.0.count={clients}", *overrides)


def assert_mean(arrays: object, case: Scenario, partitions: Iterable[int]) -> None:
    assert isinstance(arrays, dict)
    for name, value in mean_of(plain_uploads(case, partitions)).items():
        torch.testing.assert_close(arrays[name].double(), value, atol=PRECISION, rtol=1e-6)


@pytest.mark.parametrize("kind", ["gradient", "update"])
def test_the_mean_is_the_plain_one(kind: str) -> None:
    case = hidden(f"federation.upload={kind}")
    result, seen, _ = train(case)
    total = seen.sums[1]
    assert total.problem is None
    assert total.partitions == (0, 1, 2)
    assert_mean(total.arrays, case, range(3))
    after = result.arrays.to_torch_state_dict()
    if kind == "update":
        assert_mean(dict(after), case, range(3))
    assert not same(after, global_weights(case))


def test_whole_epochs_of_clients_with_unequal_data_are_weighted_by_their_examples() -> None:
    unequal = "data.partition={name='sizes', sizes=[5, 1, 3]}"
    case = hidden("federation.upload=update", "federation.local_epochs=2", unequal)
    result, seen, _ = train(case)
    assert seen.sums[1].problem is None
    assert seen.sums[1].rounding == 1
    uploads = plain_uploads(case, range(3))
    after = result.arrays.to_torch_state_dict()
    for name in uploads[0]:
        value = sum(n * u[name].double() for n, u in zip((5, 1, 3), uploads, strict=True)) / 9
        torch.testing.assert_close(after[name].double(), value, atol=PRECISION, rtol=1e-6)


def test_the_server_gets_ciphertexts_and_the_public_key_alone() -> None:
    case = hidden("model.hidden=[16]")
    _, _, spy = train(case)
    uploads = [flat(u) for u in plain_uploads(case, range(3))]
    values = 0
    for reply in spy.replies:
        said = reply.content.config_records.get("ckks", {})
        if "context" in said:
            public = ts.context_from(said["context"])
            assert not public.is_private()
    for reply in spy.replies:
        for ciphertext in reply.content.config_records.get("ckks", {}).get("ciphertexts", []):
            vector = ts.ckks_vector_from(public, ciphertext)
            with pytest.raises(ValueError, match="secret_key"):
                vector.decrypt()
            values += vector.size()
        for record in reply.content.array_records.values():
            for array in record.to_torch_state_dict().values():
                assert not any(torch.allclose(array, u) for u in uploads), "only the sum is open"
    assert values == 3 * len(uploads[0])


def test_keys_are_dealt_once_and_cost_is_recorded() -> None:
    case = hidden("federation.rounds=2")
    _, seen, spy = train(case)
    stages = [stage_of(m) for m in spy.asked]
    assert stages.count("hello") == 3
    assert stages.count("deal") == 1
    assert stages.count("keep") == 2
    assert stages.count("encrypt") == 2 * 3
    assert stages.count("decrypt") == 2
    assert set(seen.sums[1].costs) - set(seen.sums[2].costs) == {"keys s"}
    for total in seen.sums.values():
        assert all(total.costs[c] > 0 for c in ("encrypting s", "adding s", "decrypting s"))
        assert all(u.metrics["upload-bytes"] > 100_000 for u in total.uploads)


def test_who_drops_out_is_no_part_of_the_sum() -> None:
    case = hidden()
    _, seen, _ = train(case, dropping(case, lambda p, stage: p == 1 and stage == "encrypt"))
    assert seen.sums[1].partitions == (0, 2)
    assert seen.sums[1].dropped == {1: "encrypting: OSError: out of battery"}
    assert_mean(seen.sums[1].arrays, case, [0, 2])


def test_after_a_broken_round_two_uploads_are_needed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = []

    def reveal(self: CkksProtocol, *arguments: object) -> Revealed:
        needed.append(self.least)
        return Revealed(None, problem="nobody was asked")

    monkeypatch.setattr(CkksProtocol, "reveal", reveal)
    protocol = CkksProtocol([1, 2, 3], 1.0)
    for one in (protocol, protocol.broken(0), protocol):
        one.reveal(None, 1, [], 4)  # type: ignore[arg-type]
    assert needed == [2, 1, 2]


def test_who_was_not_there_when_keys_were_dealt_is_left_out() -> None:
    case = hidden()
    _, seen, _ = train(case, dropping(case, lambda p, stage: p == 2 and stage == "hello"))
    assert seen.sums[1].partitions == (0, 1)
    assert "was absent when the keys were dealt" in seen.sums[1].dropped[2]


def test_another_client_decrypts_if_the_first_does_not() -> None:
    case = hidden()
    _, seen, _ = train(case, dropping(case, lambda p, stage: p == 0 and stage == "decrypt"))
    assert seen.sums[1].partitions == (0, 1, 2)
    assert_mean(seen.sums[1].arrays, case, range(3))


@pytest.mark.parametrize(
    ("stage", "survivors", "problem"),
    [
        ("hello", 0, "no client answered the exchange of keys"),
        ("deal", 0, "the keys could not be made"),
        ("encrypt", 1, "only 1 encrypted uploads"),
        ("decrypt", 0, "no client decrypted the sum"),
    ],
)
def test_a_round_without_a_sum_leaves_the_model(stage: str, survivors: int, problem: str) -> None:
    case = hidden("federation.rounds=2")
    first = dict.fromkeys(range(survivors, 3), True)

    def fails(partition: int, now: str) -> bool:
        return now == stage and first.pop(partition, False)

    # Each fails once: the next round is as if nothing had been.
    _, seen, _ = train(case, dropping(case, fails))
    assert problem in (seen.sums[1].problem or "")
    assert not seen.sums[1].arrays
    assert same(seen.models[1], seen.models[2])
    assert seen.sums[2].problem is None
