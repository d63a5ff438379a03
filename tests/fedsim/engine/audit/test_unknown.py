"""Audits without the private data, and batches that clients keep themselves."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

import fedsim
from fedsim.clients.watching import watching
from fedsim.engine.audit import KeptBatches
from fedsim.engine.audit.kept import optimizer_in, optimizer_of
from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, Meaning, ReconstructionRecord
from fedsim.show.headline import headline, run_headline
from tests.fedsim.engine.audit.apps import RATE, app, audited, batch, notes, plain, train

NOUNS = ("picture", "pictures")


def test_without_the_truth_nothing_is_called_safe(tmp_path: Path) -> None:
    train(audited(tmp_path / "run", truth=None, clients=1))
    run = Run.read(tmp_path / "run")
    private = [r.score for r in run.of_kind(LeakageRecord) if not r.is_control]
    assert [s.meaning for s in private] == [Meaning.NOT_COMPARED]
    assert private[0].label_found is not None
    said = run_headline(run.summary)
    assert (
        said == "1 private picture attacked and unscored: the run does not know the private data."
    )
    [found] = [r for r in run.of_kind(ReconstructionRecord) if not r.is_control]
    arrays = run.arrays(found.tensors)
    assert arrays is not None
    assert "original" not in arrays
    assert arrays["guess"].shape == arrays["reconstruction"].shape
    assert found.objective is not None
    assert found.truth_objective is None


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({Meaning.NOT_COMPARED: 2, Meaning.LEAKED: 1}, "1 of 1 private picture leaked. 2 private"),
        (
            {Meaning.NOT_COMPARED: 1, Meaning.PROTECTED: 1},
            "None of 1 private picture leaked. 1 pri",
        ),
        ({Meaning.NOT_COMPARED: 1}, "1 private picture attacked and unscored"),
    ],
)
def test_headlines_name_the_unscored(counts: dict[Meaning, int], said: str) -> None:
    found = headline(counts, NOUNS)
    assert found.startswith(said)
    assert "unscored" in found


def test_batches_that_clients_keep_score_the_audit(tmp_path: Path) -> None:
    client, mod = app(), fedsim.AuditMod(tmp_path / "kept")

    def watched(message: Message, context: Context) -> Message:
        return mod(message, context, client)

    audit = audited(tmp_path / "run", truth=tmp_path / "kept", clients=None)
    train(audit, watched)  # type: ignore[arg-type]
    leakage = Run.read(tmp_path / "run").of_kind(LeakageRecord)
    assert {r.score.meaning for r in leakage} == {Meaning.LEAKED}
    kept = KeptBatches(tmp_path / "kept")
    assert kept.facts(1, 1) == {
        "batch_size": 1,
        "loss": "cross_entropy",
        "lr": RATE,
        "mode": "train",
        "momentum": 0.0,
        "nesterov": False,
        "optimiser": "SGD",
        "steps": 1,
        "weight_decay": 0.0,
    }
    inputs, labels = kept.read(2, 1)
    assert torch.equal(inputs, batch(1, 1)[0])
    assert torch.equal(labels, batch(1, 1)[1])


def test_a_watched_training_contradicts_what_was_stated(tmp_path: Path) -> None:
    client, mod = app(), fedsim.AuditMod(tmp_path / "kept")

    def watched(message: Message, context: Context) -> Message:
        return mod(message, context, client)

    stated = {"learning_rate": RATE / 2, "optimizer": {"name": "sgd", "momentum": 0.9}}
    audit = audited(tmp_path / "run", truth=tmp_path / "kept", clients=1, **stated)
    train(audit, watched)  # type: ignore[arg-type]
    said = notes(tmp_path / "run")
    assert "the client trained with another learning rate than stated: 0.1, not 0.05" in said
    assert "the client trained with another optimizer than stated: sgd" in said


@pytest.mark.parametrize(
    ("optimiser", "table"),
    [
        (
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
            {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.0},
        ),
        (
            lambda p: torch.optim.AdamW(p, lr=0.1),
            {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
        ),
        (lambda p: torch.optim.RMSprop(p, lr=0.1), None),
    ],
)
def test_watched_optimisers_are_those_of_scenarios(optimiser: Any, table: Any) -> None:
    model = plain()
    own = optimiser(model.parameters())
    with watching() as seen:
        nn.functional.cross_entropy(model(torch.rand(1, 1, 8, 8)), torch.tensor([0])).backward()
        own.step()
    assert optimizer_in(seen.facts) == table
    if table is not None:
        assert optimizer_of(table) is not None


def test_keeping_changes_neither_reply_nor_randomness(tmp_path: Path) -> None:
    def drawing() -> ClientApp:
        def data(partition: int, server_round: int) -> tuple[torch.Tensor, torch.Tensor]:
            inputs, labels = batch(partition, server_round, size=2)
            return inputs + 0.01 * torch.randn_like(inputs), labels

        return app(data=data)

    mod, client = fedsim.AuditMod(tmp_path / "kept"), drawing()

    def watched(message: Message, context: Context) -> Message:
        return mod(message, context, client)

    def final(client: object) -> tuple[dict[str, bytes], float, float]:
        result = train(fedavg(), client, rounds=2)  # type: ignore[arg-type]
        arrays = {k: v.numpy().tobytes() for k, v in result.arrays.items()}
        return arrays, float(torch.rand(())), random.random()  # noqa: S311

    from tests.fedsim.engine.audit.apps import fedavg  # noqa: PLC0415

    assert final(watched) == final(client)


def test_epochs_are_kept_once_with_their_steps() -> None:
    model, data = plain(), torch.rand(4, 1, 8, 8)
    labels = torch.tensor([0, 1, 2, 3])
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
    with watching() as seen:
        for _ in range(2):
            for begin in (0, 2):
                optimiser.zero_grad()
                outputs = model(data[begin : begin + 2])
                nn.CrossEntropyLoss()(outputs, labels[begin : begin + 2]).backward()
                optimiser.step()
        with torch.no_grad():
            model(torch.rand(1, 1, 8, 8))
    assert len(seen.steps) == 4
    examples = seen.examples()
    assert examples is not None
    assert torch.equal(examples[0], data)
    assert torch.equal(examples[1], labels)


def test_other_messages_pass() -> None:
    from fedsim.engine.flower import identify_task  # noqa: PLC0415

    identify_task()
    message = Message(RecordDict(), dst_node_id=1, message_type="query")
    context = Context(1, 1, {}, RecordDict(), {})
    assert fedsim.AuditMod("nowhere")(message, context, lambda m, c: m) is message
