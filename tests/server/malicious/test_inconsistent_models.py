"""Inconsistent models take one client's upload out of a secure sum of ten."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fedsim.attacks import Observation
from fedsim.attacks.closed.dense import DenseInversion
from fedsim.clients.site import site_of
from fedsim.core.errors import RunError
from fedsim.engine.run import run
from fedsim.log.reader import read_records
from fedsim.log.summary import summarise
from fedsim.models import MLP
from fedsim.server.malicious.inconsistent_models import silenced
from fedsim.show.malice import malice_said
from tests.fedsim.small import refusal, small
from tests.server.test_manipulating import federated

TEN = "clients=[{name='a', count=10}]"
PLAN = "adversary={malicious='inconsistent-models', rounds=[1]}"
SIXTEEN = "model={name='mlp', hidden=[16]}"


def setting(*more: str) -> list[str]:
    return [SIXTEEN, TEN, "federation.rounds=1", *more]


@pytest.mark.slow
@pytest.mark.parametrize("upload", ["gradient", "update"])
def test_one_upload_out_of_ten_is_that_of_its_client(upload: str) -> None:
    more = f"federation.upload='{upload}'"
    seen = federated(small(*setting(more, PLAN, "federation.aggregation='secagg+'")))
    plain = federated(small(*setting(more)))
    [sent] = seen.sent
    total = seen.sums[1]
    assert len(total.partitions) == 10
    [upload_of_one] = total.isolated
    assert sent.partitions == upload_of_one.partitions
    assert sent.receivers == tuple(range(10))
    alone = plain.uploads[1][upload_of_one.partition]
    received = plain.arrays[1]
    for name, value in alone.arrays.items():
        truth = value - received[name] if upload == "update" else value
        got = upload_of_one.arrays[name]
        got = got - received[name] if upload == "update" else got
        assert float((got - truth).norm() / truth.norm()) < 5e-3, name


@pytest.mark.slow
def test_a_picture_is_as_clear_as_without_aggregation() -> None:
    one = "federation.batch_size=1"
    scenario = small(*setting(one, PLAN, "federation.aggregation='secagg+'"))
    seen = federated(scenario)
    [upload] = seen.sums[1].isolated
    site = site_of(scenario.to_toml())
    truth = site.batches(upload.partition, 1)[0][0]
    model = site.model(seen.arrays[1])
    observed = Observation(
        {k: upload.arrays[k] for k, _ in model.named_parameters()}, (1, 28, 28), 1
    )
    [found] = DenseInversion().run(model, [observed])
    assert found.data is not None
    assert float((found.data - truth).square().mean()) < 1e-4  # 40 dB


def test_a_model_whose_units_cannot_die_is_refused() -> None:
    model = MLP(hidden=(4,), activation="tanh").build((1, 4, 4), 3, seed=0)
    with pytest.raises(RunError, match="can be silenced"):
        silenced(model, torch.rand(3, 1, 4, 4), torch.Generator())
    with pytest.raises(RunError, match="dense last layer"):
        silenced(nn.Flatten(), torch.rand(3, 1, 4, 4), torch.Generator())


def test_a_sum_of_one_step_is_needed() -> None:
    assert "takes single uploads out of a secure sum" in refusal(PLAN)
    steps = ["federation={upload='update', local_steps=2, aggregation='secagg+'}"]
    assert "the gradient of one step" in refusal(PLAN, *steps)


@pytest.mark.slow
def test_a_run_says_whom_it_read(tmp_path: Path) -> None:
    attack = PLAN.replace("rounds", "attack={name='dense'}, rounds")
    more = ("federation.batch_size=1", "federation.aggregation='secagg+'")
    summary = summarise(read_records(run(small(*setting(*more, attack)), tmp_path / "run")))
    [sent] = summary.manipulations
    assert len(sent.partitions) == 1
    assert len(sent.others) == 9
    [said] = malice_said(summary)
    assert f"to read client {sent.partitions[0]}. It got 1 of 1 picture" in said
    assert "Nobody noticed" in said
