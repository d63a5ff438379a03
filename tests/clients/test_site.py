"""What a client has at home."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.clients.site import open_site, site_of
from fedsim.core.errors import DataError
from tests.fedsim.small import small


def test_partitions_belong_to_the_groups_in_order() -> None:
    scenario = small("clients=[{name='a', count=2}, {name='b', count=1}, {name='c', count=4}]")
    site = open_site(scenario)
    assert len(site.partitions) == scenario.num_clients == 7
    assert [scenario.group_of(p).name for p in range(7)] == ["a", "a", "b", "c", "c", "c", "c"]
    with pytest.raises(IndexError):
        site.scenario.group_of(7)


def test_batches_come_from_the_clients_own_partition_and_from_training_images() -> None:
    site = open_site(small("federation={upload='update', local_steps=3, batch_size=4}"))
    train = site.dataset.train
    for partition, held in enumerate(site.partitions):
        own = {bytes(train.images[i].numpy()) for i in held.tolist()}
        batches = site.batches(partition, 1)
        assert [x.shape for x, _ in batches] == [(4, 1, 28, 28)] * 3
        drawn = torch.cat([x for x, _ in batches])
        assert {bytes(x.numpy()) for x in (drawn * 255).round().to(torch.uint8)} <= own
    assert len(np.unique(np.concatenate(site.partitions))) == len(train)


@pytest.mark.parametrize(("clients", "steps", "sizes"), [(3, 3, [4, 4, 4]), (62, 13, [4] * 8)])
def test_an_example_that_several_steps_use_counts_once(
    clients: int, steps: int, sizes: list[int]
) -> None:
    federation = f"federation={{upload='update', local_steps={steps}, batch_size=4}}"
    site = open_site(small(federation, f"clients.0.count={clients}"))
    different = site.different(0, 1)
    held = min(len(site.partitions[0]), 4 * steps)
    assert [len(y) for _, y in different][:-1] == sizes[: len(different) - 1]
    drawn = torch.cat([x for x, _ in different])
    assert len(drawn) == len(torch.unique(drawn.flatten(1), dim=0)) == held
    every = torch.cat([x for x, _ in site.batches(0, 1)])
    assert torch.equal(torch.unique(every.flatten(1), dim=0), torch.unique(drawn.flatten(1), dim=0))


def test_epochs_use_each_example_once_per_pass_and_end_in_a_smaller_batch() -> None:
    iid = "data.partition={name='iid', examples=7}"
    site = open_site(small("federation={upload='update', local_epochs=2, batch_size=3}", iid))
    batches = site.batches(1, 1)
    assert [len(y) for _, y in batches] == [3, 3, 1] * 2
    one, other = (torch.cat([x for x, _ in each]) for each in (batches[:3], batches[3:]))
    assert not torch.equal(one, other)
    assert torch.equal(*(torch.unique(x.flatten(1), dim=0) for x in (one, other)))
    assert torch.equal(torch.cat([x for x, _ in site.different(1, 1)]), one)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2), st.integers(1, 50))
def test_batches_are_a_function_of_seed_partition_and_round(partition: int, rnd: int) -> None:
    one, other = site_of(small().to_toml()), open_site(small())
    for (x, y), (x2, y2) in zip(
        one.batches(partition, rnd), other.batches(partition, rnd), strict=True
    ):
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)


def test_another_round_partition_or_seed_gives_another_batch() -> None:
    site = open_site(small())
    first = site.batches(0, 1)[0][0]
    others = [
        site.batches(0, 2)[0][0],
        site.batches(1, 1)[0][0],
        open_site(small("seed=6")).batches(0, 1)[0][0],
    ]
    assert not any(torch.equal(first, other) for other in others)


def test_the_defense_of_a_client_does_not_change_its_data() -> None:
    plain = open_site(small()).batches(1, 1)
    defended = open_site(small("clients.0.defenses=['fp16']")).batches(1, 1)
    assert torch.equal(plain[0][0], defended[0][0])


def test_models_are_copies_in_training_mode() -> None:
    site = open_site(small())
    before = {k: v.clone() for k, v in site.architecture.state_dict().items()}
    model = site.model({k: torch.ones_like(v) for k, v in before.items()})
    assert model.training
    assert all(bool((v == 1).all()) for v in model.state_dict().values())
    assert all(torch.equal(before[k], v) for k, v in site.architecture.state_dict().items())


def test_weights_of_another_precision_are_taken_as_the_models_own() -> None:
    site = open_site(small())
    model = site.model({k: v.double() for k, v in site.architecture.state_dict().items()})
    assert {v.dtype for v in model.state_dict().values()} == {torch.float32}


def test_the_first_model_is_a_function_of_the_seed() -> None:
    def first(*overrides: str) -> torch.Tensor:
        return open_site(small(*overrides)).architecture.state_dict()["head.weight"]

    assert torch.equal(first(), first())
    assert not torch.equal(first(), first("seed=6"))


def test_a_site_is_opened_once_per_process() -> None:
    toml = small("seed=99").to_toml()
    assert site_of(toml) is site_of(toml)


def test_a_partition_too_small_for_a_batch_is_an_error() -> None:
    with pytest.raises(DataError, match=r"batch_size = 30, but client \d+ has only 2\d examples"):
        open_site(small("clients.0.count=80", "federation.batch_size=30"))
