"""What an auditor gets wrong is named from the misfit of the private data, with the remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor, nn

from tests.fedsim.engine.audit.apps import (
    CLASSES,
    CLIENTS,
    RATE,
    Batch,
    Net,
    app,
    audited,
    batch,
    notes,
    plain,
    train,
)


def pair(partition: int, server_round: int) -> Batch:
    return batch(partition, server_round, size=2)


def normalised(partition: int, server_round: int) -> Batch:
    inputs, labels = batch(partition, server_round)
    return (inputs - 0.5) / 0.25, labels


def twice(partition: int, server_round: int) -> Batch:
    inputs, labels = normalised(partition, server_round)
    return (inputs - 0.5) / 0.25, labels


def halved(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.half() for k, v in arrays.items()}


def deep() -> nn.Module:
    middle = (nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh())
    first = (nn.Flatten(), nn.Linear(64, 16), nn.Tanh())
    return nn.Sequential(*first, *middle, nn.Linear(16, CLASSES))


def exchanged(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**arrays, "3.weight": arrays["5.weight"], "5.weight": arrays["3.weight"]}


def summed(outputs: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(outputs, labels, reduction="sum")


def next_client(partition: int, server_round: int) -> Batch:
    return batch((partition + 1) % CLIENTS, server_round)


def next_round(partition: int, server_round: int) -> Batch:
    return batch(partition, server_round + 1)


def of_the_first_round() -> ClientApp:
    """Return clients that train on the weights of round 1 in each round."""
    first: dict[int, Message] = {}
    client, outer = app(), ClientApp()

    @outer.train()
    def answer(message: Message, context: Context) -> Message:
        kept = first.setdefault(context.node_id, message)
        arrays = ArrayRecord(kept.content["arrays"].to_torch_state_dict())
        config = message.content["config"]
        content = RecordDict({"arrays": arrays, "config": config})
        stale = Message(content, dst_node_id=context.node_id, message_type="train")
        found = client(stale, context).content
        own = {"arrays": found["arrays"], "metrics": MetricRecord(dict(found["metrics"]))}
        return Message(RecordDict(own), reply_to=message)

    return outer


Case = tuple[Callable[[], ClientApp], dict[str, Any], str]

CASES: dict[str, Case] = {
    "normalised twice": (
        lambda: app(data=twice),
        {"truth": normalised, "normalisation": (0.5, 0.25)},
        "the clients normalise once more than the truth shows (by the stated one)",
    ),
    "not normalised": (
        lambda: app(data=batch),
        {"truth": normalised, "normalisation": (0.5, 0.25)},
        "the truth is normalised once more than the clients' data (by the stated one)",
    ),
    "eval for train": (
        lambda: app(Net, pair, training=False),
        {"model": Net, "truth": pair, "batch_size": 2, "attack": "idlg"},
        "the clients' model is in eval mode: set mode='eval'",
    ),
    "another order": (
        lambda: app(deep, change=exchanged),
        {"model": deep},
        "the tensors '3.weight' and '5.weight' have changed places",
    ),
    "half precision": (
        lambda: app(change=halved),
        {},
        "the uploads are rounded to float16: state defenses=[...] with 'fp16'",
    ),
    "summed loss": (
        lambda: app(data=pair, loss=summed),
        {"truth": pair, "batch_size": 2, "attack": "idlg"},
        "the loss is summed over the batch, not averaged: 2 times as large",
    ),
    "another rate": (
        app,
        {"learning_rate": RATE / 2},
        "another learning rate or loss scale: the upload is 2 times as large",
    ),
    "another round's weights": (
        of_the_first_round,
        {"rounds": (2,)},
        "the client trained on the weights of round 1",
    ),
    "another round's truth": (
        app,
        {"truth": next_round},
        "the truth of round 0 is the data of this upload",
    ),
    "another client's truth": (
        lambda: app(data=next_client),
        {},
        "is the data of this upload: let the clients report 'partition-id'",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_mistake_is_named(name: str, tmp_path: Path) -> None:
    client, stated, said = CASES[name]
    model = stated.get("model", plain)
    audit = audited(tmp_path / "run", clients=1, **stated)
    train(audit, client(), model, rounds=2 if "rounds" in stated else 1)
    found = [note for note in notes(tmp_path / "run") if "misfit" in note]
    assert len(found) == 1, notes(tmp_path / "run")
    assert said in found[0], found[0]


def test_a_truth_of_another_size_is_named(tmp_path: Path) -> None:
    train(audited(tmp_path / "run", truth=pair, clients=1), app(data=pair))
    [said] = [note for note in notes(tmp_path / "run") if "truth has" in note]
    assert "the truth has 2 examples, and the audit assumes 1" in said


def test_an_unknown_mistake_is_not_explained_away(tmp_path: Path) -> None:
    def noisy(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {k: v + 0.01 * torch.randn(v.shape, generator=generator) for k, v in arrays.items()}

    train(audited(tmp_path / "run", clients=1), app(change=noisy))
    [said] = [note for note in notes(tmp_path / "run") if "misfit" in note]
    assert "nor do they under any suspicion that was tested" in said
