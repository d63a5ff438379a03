"""A secure sum of one client and of what the server plays is the upload of that client."""

import pytest

from tests.fedsim.small import small
from tests.server.test_manipulating import federated

SETTING = ("model={name='mlp', hidden=[8]}", "federation.rounds=1")
PLANS = {
    "invented": "{name='invented-clients', count=4}",
    "alone": "{name='invented-clients', count=0}",
}


@pytest.mark.parametrize(
    ("plan", "aggregation"), [("invented", "secagg+"), ("alone", "secagg+"), ("alone", "ckks")]
)
def test_the_sum_is_one_upload(plan: str, aggregation: str) -> None:
    malicious = f"adversary={{malicious={PLANS[plan]}, rounds=[1]}}"
    seen = federated(small(*SETTING, malicious, f"federation.aggregation='{aggregation}'"))
    plain = federated(small(*SETTING))
    assert seen.sums[1].problem is None
    [upload] = seen.sums[1].isolated
    assert seen.sums[1].partitions == upload.partitions
    for name, value in plain.uploads[1][upload.partition].arrays.items():
        assert float((upload.arrays[name] - value).norm() / value.norm()) < 1e-3, name


@pytest.mark.parametrize("plan", ["invented", "alone"])
def test_the_client_notices_that_nobody_vouches(plan: str) -> None:
    checked = "clients=[{name='a', count=3, defenses=['model-agreement']}]"
    more = ("federation.rounds=2", "federation.aggregation='secagg+'")
    malicious = f"adversary={{malicious={PLANS[plan]}, rounds=[2]}}"
    seen = federated(small(*SETTING, checked, malicious, *more))
    assert seen.sums[2].isolated == ()
    [why] = seen.sums[2].dropped.values()
    assert "refused by model-agreement: 0 other clients vouch" in why
