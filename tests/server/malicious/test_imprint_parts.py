"""An imprint layer with parts reads pictures of all clients out of one secure sum."""

import pytest
import torch
from torch import Tensor

from fedsim.attacks import Observation
from fedsim.attacks.closed.bins import DenseBins
from fedsim.clients.site import site_of
from fedsim.models import MLP
from fedsim.scenario import Scenario
from fedsim.server.malicious import Imprint, ImprintParts, Public
from tests.fedsim.small import small
from tests.server.test_manipulating import Seen, federated

CLEAR = 1e-2
"""Mean square error of a picture at 20 dB."""


def setting(plan: str, clients: int, batch: int, aggregation: str) -> Scenario:
    return small(
        f"clients=[{{name='a', count={clients}}}]",
        f"federation={{rounds=1, batch_size={batch}, aggregation='{aggregation}'}}",
        f"adversary={{malicious={plan}, rounds=[1]}}",
    )


def recovered(scenario: Scenario, seen: Seen) -> int:
    """Return the number of pictures that the read-out finds, over all clients."""
    site, plan = site_of(scenario.to_toml()), scenario.adversary
    assert plan is not None
    model = plan.malicious.architecture(site.architecture, (1, 28, 28))
    model.load_state_dict(seen.arrays[1])
    uploads = seen.sums[1].isolated if seen.sums else seen.uploads[1]
    names = [k for k, _ in model.named_parameters()]
    size, count = scenario.federation.batch_size, 0
    for upload in uploads:
        observed = Observation({k: upload.arrays[k] for k in names}, (1, 28, 28), size)
        [found] = DenseBins().run(model, [observed])
        assert found.data is not None
        count += matched(site.batches(upload.partition, 1)[0][0], found.data)
    return count


def matched(truth: Tensor, found: Tensor) -> int:
    errors = torch.cdist(truth.flatten(1).double(), found.flatten(1).double()).square()
    return int((errors.amin(1) / truth[0].numel() < CLEAR).sum())


def test_a_sum_of_three_keeps_the_clients_apart() -> None:
    scenario = setting("{name='imprint-parts', bins=16}", 3, 4, "secagg+")
    seen = federated(scenario)
    assert seen.sums[1].problem is None
    assert [u.partition for u in seen.sums[1].isolated] == [0, 1, 2]
    plain = setting("{name='imprint', bins=16}", 3, 4, "plain")
    assert recovered(scenario, seen) >= recovered(plain, federated(plain)) / 2 > 0


@pytest.mark.slow
@pytest.mark.parametrize("aggregation", ["secagg+", "ckks"])
def test_eight_clients_give_at_least_half_as_many_as_without(aggregation: str) -> None:
    scenario = setting("{name='imprint-parts', bins=64}", 8, 16, aggregation)
    plain = setting("{name='imprint', bins=64}", 8, 16, "plain")
    hidden, open_ = recovered(scenario, federated(scenario)), recovered(plain, federated(plain))
    assert hidden >= 0.8 * open_ > 40  # of 128


def test_parts_change_neither_the_outputs_nor_the_reading() -> None:
    public = Public(torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(0)), 4)
    model = MLP(hidden=(5,)).build((1, 6, 6), 3, seed=0)
    manipulation, generator = ImprintParts(bins=8), torch.Generator().manual_seed(0)
    changed = manipulation.change(model, public, generator)
    made = manipulation.isolate(changed, [4, 9], [2, 4, 9], public, generator)
    assert made.victims == (4, 9)
    plain = Imprint(bins=8).change(model, public, torch.Generator().manual_seed(0)).model
    for whole in (changed.model, *made.models.values()):
        torch.testing.assert_close(whole(public.inputs), plain(public.inputs), rtol=0, atol=1e-4)
    bias = made.models[4].get_parameter("imprint.bias")
    assert (bias > -1e5).nonzero().flatten().tolist() == list(range(8, 16))
