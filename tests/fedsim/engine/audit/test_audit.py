"""Audits of a Flower app: what is attacked, scored and said."""

from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import MetricRecord
from flwr.serverapp.strategy import FedAvg, Strategy
from torch import Tensor, nn

import fedsim
from fedsim.core.errors import RunError, ScenarioError
from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, Meaning, ReconstructionRecord, UploadRecord
from fedsim.server.fedsgd import FedSGD
from tests.fedsim.engine.audit.apps import (
    CLIENTS,
    RATE,
    SHAPE,
    Batch,
    Net,
    app,
    audited,
    batch,
    fedavg,
    notes,
    plain,
    train,
)


def meanings(folder: Path) -> list[tuple[int | None, Meaning]]:
    leakage = Run.read(folder).of_kind(LeakageRecord)
    return [(r.partition, r.score.meaning) for r in leakage]


LEAKED = [(None, Meaning.LEAKED), (0, Meaning.LEAKED), (1, Meaning.LEAKED), (2, Meaning.LEAKED)]


def test_weights_leak(tmp_path: Path) -> None:
    train(audited(tmp_path / "run", clients=None))
    assert meanings(tmp_path / "run") == LEAKED
    assert not notes(tmp_path / "run")


def test_gradients_leak(tmp_path: Path) -> None:
    names = list(dict(plain().named_parameters()))
    train(
        audited(tmp_path / "run", FedSGD(RATE, names), uploads="gradients", clients=None),
        app(gradients=True),
    )
    assert meanings(tmp_path / "run") == LEAKED


def test_only_the_chosen_rounds_and_clients_are_attacked(tmp_path: Path) -> None:
    train(audited(tmp_path / "run", rounds=(2,), clients=1), rounds=3)
    run = Run.read(tmp_path / "run")
    assert len(run.of_kind(UploadRecord)) == 3 * CLIENTS
    victims = run.of_kind(ReconstructionRecord)
    assert [v.round for v in victims] == [2, 2]
    assert [v.is_control for v in victims] == [True, False]


def test_normalised_pictures_are_found_and_shown_in_the_unit_box(tmp_path: Path) -> None:
    def normalised(partition: int, server_round: int) -> Batch:
        inputs, labels = batch(partition, server_round)
        return (inputs - 0.5) / 0.25, labels

    audit = audited(tmp_path / "run", truth=normalised, normalisation=(0.5, 0.25), clients=None)
    train(audit, app(data=normalised))
    assert meanings(tmp_path / "run") == LEAKED
    run = Run.read(tmp_path / "run")
    private = [r for r in run.of_kind(ReconstructionRecord) if r.partition == 0]
    arrays = run.arrays(private[0].tensors)
    assert arrays is not None
    expected, _ = batch(0, 1)
    assert abs(arrays["reconstruction"] - expected.numpy()).max() < 1e-3


def test_values_of_another_range_are_mapped_to_the_unit_box(tmp_path: Path) -> None:
    def wide(partition: int, server_round: int) -> Batch:
        inputs, labels = batch(partition, server_round)
        return 6 * inputs - 3, labels

    audit = audited(tmp_path / "run", truth=wide, value_range=(-3, 3), clients=None)
    train(audit, app(data=wide))
    assert meanings(tmp_path / "run") == LEAKED


def test_numbers_are_attacked_as_a_row(tmp_path: Path) -> None:
    def row(partition: int, server_round: int) -> Batch:
        inputs, labels = batch(partition, server_round)
        return inputs.flatten(1), labels

    audit = audited(tmp_path / "run", truth=row, input_shape=(64,), clients=None)
    train(audit, app(data=row))
    assert meanings(tmp_path / "run") == LEAKED


def test_clients_that_report_their_partition_are_matched_by_it(tmp_path: Path) -> None:
    client = app(
        data=lambda p, r: batch(CLIENTS - 1 - p, r),
        metrics=lambda p: {"partition-id": CLIENTS - 1 - p},
    )
    train(audited(tmp_path / "run", clients=None), client)
    assert meanings(tmp_path / "run") == LEAKED


def test_tensors_are_known_by_position(tmp_path: Path) -> None:
    def renamed(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        return {str(i): tensor for i, tensor in enumerate(arrays.values())}

    strategy = FedAvg(fraction_evaluate=0.0)
    train(audited(tmp_path / "run", strategy, clients=None), app(change=renamed))
    assert meanings(tmp_path / "run") == LEAKED


def test_further_tensors_are_ignored(tmp_path: Path) -> None:
    def more(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"optimiser.step": torch.ones(3), **arrays}

    train(audited(tmp_path / "run", clients=None), app(change=more))
    assert meanings(tmp_path / "run") == LEAKED


def test_what_is_left_out_is_said_and_the_others_are_attacked(tmp_path: Path) -> None:
    def part(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: v for k, v in arrays.items() if not k.startswith("3.")}

    train(audited(tmp_path / "run", clients=1), app(change=part))
    [said, *_] = notes(tmp_path / "run")
    assert said == (
        "the uploads leave out 2 trained tensors (3.weight, 3.bias); the attack has the others"
    )
    assert len(meanings(tmp_path / "run")) == 2


def test_frozen_layers_are_said(tmp_path: Path) -> None:
    def frozen() -> nn.Module:
        net = plain()
        net.get_submodule("3").requires_grad_(False)
        return net

    train(audited(tmp_path / "run", clients=1), app(frozen))
    [said, *_] = notes(tmp_path / "run")
    assert said == ("no client changed 2 tensors (3.weight, 3.bias), which are taken as frozen")


def test_buffers_are_carried(tmp_path: Path) -> None:
    def pair(partition: int, server_round: int) -> Batch:
        return batch(partition, server_round, size=2)

    audit = audited(tmp_path / "run", model=Net, truth=pair, batch_size=2, clients=1, attack="idlg")
    train(audit, app(Net, pair), Net)
    run = Run.read(tmp_path / "run")
    assert not run.summary.notes
    assert len(meanings(tmp_path / "run")) == 4


def test_a_truth_that_fails_is_said_and_nothing_is_scored(tmp_path: Path) -> None:
    def broken(partition: int, server_round: int) -> Batch:
        raise OSError("the disk is gone")

    train(audited(tmp_path / "run", truth=broken, clients=1))
    assert [m for p, m in meanings(tmp_path / "run")] == [Meaning.LEAKED, Meaning.NOT_COMPARED]
    assert any("OSError: the disk is gone" in note for note in notes(tmp_path / "run"))


def test_a_model_of_another_form_is_said(tmp_path: Path) -> None:
    def other() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))

    train(audited(tmp_path / "run", model=other))
    run = Run.read(tmp_path / "run")
    assert run.summary.status == "finished"
    assert not run.of_kind(LeakageRecord)
    assert any("not audited" in note for note in notes(tmp_path / "run")) or run.summary.problems


def test_the_folder_is_closed_if_the_training_raises(tmp_path: Path) -> None:
    def evaluate(server_round: int, arrays: Any) -> MetricRecord | None:
        if server_round:
            raise ValueError("the app's own error")
        return MetricRecord({"accuracy": 0.5})

    audit = audited(tmp_path / "run", clients=1)
    with pytest.raises(ValueError, match="own error"):
        _started(audit, evaluate)
    summary = Run.read(tmp_path / "run").summary
    assert (summary.status, summary.error) == ("failed", "ValueError: the app's own error")


def test_the_accuracy_of_the_app_is_recorded(tmp_path: Path) -> None:
    audit = audited(tmp_path / "run", clients=1)
    _started(audit, lambda server_round, arrays: MetricRecord({"accuracy": 0.25}))
    assert Run.read(tmp_path / "run").summary.accuracy == {1: 0.25}


def _started(audit: Strategy, evaluate: Any) -> None:
    from flwr.app import ArrayRecord  # noqa: PLC0415

    from fedsim.engine.inline import InlineGrid  # noqa: PLC0415

    grid = InlineGrid(app(), CLIENTS)
    audit.start(grid, ArrayRecord(plain().state_dict()), num_rounds=1, evaluate_fn=evaluate)


def test_an_app_without_replies_leaves_a_readable_folder(tmp_path: Path) -> None:
    def dead(partition: int, server_round: int) -> Batch:
        raise RuntimeError("no data")

    train(audited(tmp_path / "run"), app(data=dead))
    summary = Run.read(tmp_path / "run").summary
    assert summary.status == "finished"
    assert len(summary.problems) == CLIENTS


def test_attributes_are_those_of_the_strategy(tmp_path: Path) -> None:
    audit = audited(tmp_path / "run", FedAvg(fraction_train=1.0, fraction_evaluate=0.0), clients=1)
    assert audit.fraction_train == 1.0
    train(audit)


@pytest.mark.slow
def test_epochs_give_the_number_of_steps(tmp_path: Path) -> None:
    def several(partition: int, server_round: int) -> Batch:
        return batch(partition, server_round, size=5)

    audit = audited(
        tmp_path / "run", truth=several, batch_size=2, local_epochs=2, clients=1, attack="idlg"
    )
    train(audit, app(data=several))
    assert Run.read(tmp_path / "run").scenario["federation"]["local_epochs"] == 2


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"model": lambda: 3}, RunError, "expected a torch.nn.Module"),
        ({"mode": "training"}, RunError, "expected 'train' or 'eval'"),
        ({"input_shape": (0, 8, 8)}, RunError, "expected the shape of one example"),
        ({"input_shape": (1, 9, 9)}, fedsim.AttackError, "cannot be evaluated"),
        ({"attack": "idgl"}, ScenarioError, "did you mean 'idlg'"),
        ({"learning_rate": 0.0}, ScenarioError, "learning_rate"),
        ({"local_steps": 2, "local_epochs": 2}, RunError, "give one of them"),
        ({"local_epochs": 0}, RunError, "at least 1"),
        ({"value_range": (1, 0)}, RunError, "low < high"),
        ({"loss": 3}, fedsim.AttackError, "expected a function"),
        ({"public": (torch.rand(2, *SHAPE), torch.zeros(3))}, RunError, "2 examples and 3 labels"),
        ({"public": (torch.rand(2, 3, 8, 8), torch.zeros(2))}, RunError, "as the model takes them"),
    ],
)
def test_wrong_arguments_are_refused_before_the_training(
    wrong: dict[str, Any], error: type[Exception], text: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=text):
        audited(tmp_path / "run", fedavg(), **wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_report_shows_the_audit(tmp_path: Path) -> None:
    frozen = app(change=lambda arrays: {k: v for k, v in arrays.items() if k[0] == "1"})
    train(audited(tmp_path / "run", clients=1), frozen)
    html = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "leave out 2 trained tensors (3.weight, 3.bias)" in html
    assert "1 of 1 private picture leaked" in html
    assert "Audit of plain under FedAvg" in html
