"""Runs whose clients train as real ones do: whole epochs, momentum, Adam."""

from pathlib import Path

import pytest
import torch

from fedsim.clients.site import open_site
from fedsim.clients.training import local_training
from fedsim.engine import run
from fedsim.log.reader import load_tensors, of_kind, read_records
from fedsim.log.schema import Doubt, LeakageRecord, ReconstructionRecord, UploadRecord
from tests.fedsim.small import TWENTY_EVALUATIONS, small

FIVE = "data.partition={name='iid', examples=5}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "linear"),
    [("{name='sgd', momentum=0.9, weight_decay=0.01}", True), ("'adam'", False)],
)
def test_the_attacker_knows_the_optimizer_but_not_the_order(
    tmp_path: Path, optimizer: str, linear: bool
) -> None:
    epoch = f"federation={{upload='update', local_epochs=1, rounds=1, optimizer={optimizer}}}"
    folder = run(small(epoch, FIVE, TWENTY_EVALUATIONS), tmp_path / "run")
    records = list(read_records(folder))
    assert [r.examples for r in of_kind(records, UploadRecord)] == [5, 5, 5]
    attacked = [r for r in of_kind(records, ReconstructionRecord) if r.partition is not None]
    assert [r.approximate for r in attacked] == [not linear] * 3
    if linear:
        assert [r.explained for r in attacked] == [True] * 3
    scores = [r.score for r in of_kind(records, LeakageRecord) if r.partition is not None]
    assert len(scores) == 15
    assert all((Doubt.APPROXIMATE in s.doubts) is not linear for s in scores if s.doubts)


@pytest.mark.slow
def test_later_passes_have_an_unknown_order(tmp_path: Path) -> None:
    epochs = "federation={upload='update', local_epochs=2, rounds=1}"
    folder = run(small(epochs, FIVE, TWENTY_EVALUATIONS), tmp_path / "run")
    found = of_kind(read_records(folder), ReconstructionRecord)
    assert {r.approximate for r in found if r.partition is not None} == {True}


@pytest.mark.slow
def test_the_attacker_follows_schedule_clipping_and_proximal_term(tmp_path: Path) -> None:
    """The second round has half the learning rate of the first."""
    training = (
        "federation={upload='update', local_steps=2, batch_size=2, rounds=2, proximal_mu=0.5, "
        "schedule={name='step', every=1, gamma=0.5}, max_grad_norm=0.1, "
        "optimizer={name='sgd', momentum=0.9}}"
    )
    four = "data.partition={name='iid', examples=4}"
    folder = run(small(training, four, TWENTY_EVALUATIONS), tmp_path / "run")
    found = of_kind(read_records(folder), ReconstructionRecord)
    assert len(found) == 8
    assert all(r.explained and not r.approximate for r in found)


@pytest.mark.slow
def test_clients_of_unequal_size_are_weighted_by_their_examples(tmp_path: Path) -> None:
    training = "federation={upload='update', local_epochs=1, batch_size=100, rounds=1}"
    case = small(training, "data.partition={name='dirichlet', alpha=0.05}")
    site = open_site(case)
    sizes = [len(own) for own in site.partitions]
    assert max(sizes) > 1.2 * min(sizes)
    sent = site.architecture.state_dict()
    rate = case.federation.learning_rate
    trained = [local_training(site.model(sent), site.batches(p, 1), rate).arrays for p in range(3)]
    found = load_tensors(run(case, tmp_path / "run"), "tensors/final-model.safetensors")
    for name, value in found.items():
        weighted = [n * arrays[name] for n, arrays in zip(sizes, trained, strict=True)]
        wanted = torch.stack(weighted).sum(0) / sum(sizes)
        assert torch.allclose(value, wanted, atol=1e-5)
        plain = torch.stack([arrays[name] for arrays in trained]).mean(0)
        assert not torch.allclose(value, plain, atol=1e-5)
