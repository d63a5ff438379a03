"""One run from scenario to folder, however it ends."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedsim.attacks import Progress
from fedsim.core.errors import FedsimError, RunError
from fedsim.engine import Observer, run, versions
from fedsim.engine.inline import run_inline
from fedsim.engine.run import Engine
from fedsim.log.reader import Kind, load_tensors, of_kind, read_records
from fedsim.log.schema import (
    LeakageRecord,
    LogRecord,
    Meaning,
    ReconstructionRecord,
    RoundRecord,
    RunEnded,
    RunStarted,
    UploadRecord,
)
from fedsim.log.summary import summarise
from fedsim.scenario import Scenario, load_scenario
from fedsim.scoring import Scorer
from fedsim.server.victims import Victim
from tests.fedsim.small import TWENTY_EVALUATIONS, groups, small
from tests.server import bad_clients
from tests.server.bad_clients import BAD, with_one_bad_client
from tests.server.wire import same

ATTACKED = (TWENTY_EVALUATIONS, "federation.batch_size=1")


def recorded(folder: Path, kind: type[Kind]) -> list[Kind]:
    return of_kind(read_records(folder), kind)


def bad_engine(case: Scenario, damage: bad_clients.Damage, bad: int = BAD) -> Engine:
    """Return the inline engine with one client of the scenario replaced by a bad one."""

    def engine(server: Callable[[Grid], None], client_app: ClientApp, clients: int) -> None:
        run_inline(server, with_one_bad_client(case, damage, bad), clients)

    return engine


def test_a_run_leaves_a_complete_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    case = small(*ATTACKED)
    folder = run(case, tmp_path / "run")
    assert capfd.readouterr() == ("", "")
    assert load_scenario(str(folder / "scenario.toml")) == case
    assert "Starting Eavesdropper strategy" in (folder / "flower.log").read_text("utf-8")
    files = {path.name for path in folder.iterdir()}
    assert files == {"records.jsonl", "scenario.toml", "flower.log", "tensors"}
    records = list(read_records(folder))
    start, end = records[0], records[-1]
    assert isinstance(start, RunStarted)
    assert [(s.kind, s.name) for s in start.sources] == [
        ("attack", "dlg"),
        ("model", "mlp"),
        ("data set", "fashion-mnist-mini"),
        ("partition", "iid"),
        ("aggregation", "plain"),
        ("loss", "cross-entropy"),
        ("schedule", "constant"),
        ("optimizer", "sgd"),
    ]
    assert "arXiv 1906.08935" in start.sources[0].text
    assert len(of_kind(records, UploadRecord)) == 6
    assert (start.engine, start.modality, start.task) == ("inline", "pictures", "classify")
    assert set(start.versions) == set(versions())
    assert [r.round for r in of_kind(records, RoundRecord)] == [0, 1, 2]
    assert len(of_kind(records, ReconstructionRecord)) == 2 * 4
    assert len(of_kind(records, LeakageRecord)) == 2 * 4
    assert isinstance(end, RunEnded)
    assert (end.status, end.error) == ("finished", None)


@pytest.mark.slow
def test_tensors_are_what_the_records_say(tmp_path: Path) -> None:
    folder = run(small(*ATTACKED, "federation.batch_size=2"), tmp_path / "run")
    for record in recorded(folder, ReconstructionRecord):
        tensors = load_tensors(folder, record.tensors)
        assert tensors["original"].shape == tensors["reconstruction"].shape == (2, 1, 28, 28)
        assert sorted(tensors["matching"].tolist()) == [0, 1]
        assert tensors["evaluations"].tolist() == sorted(set(tensors["evaluations"].tolist()))
        assert int(tensors["evaluations"][-1]) == record.evaluations
        assert torch.equal(tensors["history"][-1], tensors["reconstruction"])
        scores = [r for r in recorded(folder, LeakageRecord) if r.victim == record.victim]
        ordered = tensors["reconstruction"][tensors["matching"]]
        errors = (ordered - tensors["original"]).square().flatten(1).mean(1)
        assert [r.score.metrics["mse"] for r in scores] == pytest.approx(errors.tolist(), rel=1e-4)


def final_model(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder, "tensors/final-model.safetensors")


def test_training_is_the_same_with_and_without_an_adversary(tmp_path: Path) -> None:
    alone = run(small("federation.batch_size=1"), tmp_path / "alone")
    attacked = run(small(*ATTACKED), tmp_path / "attacked")
    assert same(final_model(alone), final_model(attacked))
    for kind in (UploadRecord, RoundRecord):
        assert recorded(alone, kind) == recorded(attacked, kind)
    assert recorded(alone, ReconstructionRecord) == []


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    def essence(folder: Path) -> list[LogRecord]:
        kinds = (UploadRecord, RoundRecord, LeakageRecord)
        return [r for kind in kinds for r in recorded(folder, kind)]

    case = small(*ATTACKED, groups("[]", "[{name='gaussian-noise', std=1e-3}]"))
    one, other = (run(case, tmp_path / name) for name in "ab")
    assert essence(one) == essence(other)
    changed = run(small(*ATTACKED, "seed=6"), tmp_path / "c")
    digests = {r.digest for r in recorded(one, UploadRecord)}
    assert not digests & {r.digest for r in recorded(changed, UploadRecord)}


@pytest.mark.slow
@pytest.mark.parametrize("local_steps", ["average", "unroll"])
def test_local_steps_taken_for_one_are_an_approximation(tmp_path: Path, local_steps: str) -> None:
    update = "federation={upload='update', local_steps=2, rounds=1}"
    attack = f"adversary={{attack={{name='dlg', evaluations=20, local_steps='{local_steps}'}}}}"
    folder = run(small(attack, update), tmp_path / "run")
    marks = {r.partition: r.approximate for r in recorded(folder, ReconstructionRecord)}
    average = local_steps == "average"
    assert marks == {None: False, 0: average, 1: average, 2: average}
    assert summarise(read_records(folder)).approximate == average


@pytest.mark.parametrize("damage", [bad_clients.send_nan, bad_clients.fail])
def test_a_bad_client_is_recorded_and_the_run_goes_on(
    damage: bad_clients.Damage, tmp_path: Path
) -> None:
    case = small(*ATTACKED)
    folder = run(case, tmp_path / "run", engine=bad_engine(case, damage))
    summary = summarise(read_records(folder))
    problem = bad_clients.UNUSABLE[damage]
    assert [(r, p) for r, p, _ in summary.problems] == [(1, 1), (2, 1)]
    assert all(problem in text for _, _, text in summary.problems)
    assert [v for v, _ in summary.failures] == ["r0001-c0001-naive", "r0002-c0001-naive"]
    unscored = [
        r.victim for r in recorded(folder, LeakageRecord) if r.score.meaning is Meaning.UNSCORED
    ]
    assert unscored == ["r0001-c0001-naive", "r0002-c0001-naive"]
    assert summary.status == "finished"
    assert summary.rows[0].examples == 6


def test_a_run_in_which_every_client_fails_is_an_error(tmp_path: Path) -> None:
    case = small(*ATTACKED, "clients.0.count=1", "federation.rounds=1")
    engine = bad_engine(case, bad_clients.fail, bad=0)
    with pytest.raises(RunError, match="no client sent a usable upload"):
        run(case, tmp_path / "run", engine=engine)
    summary = summarise(read_records(tmp_path / "run"))
    assert summary.status == "failed"
    assert (summary.error or "").startswith("RunError: no client sent a usable upload")
    assert len(summary.problems) == 1


class Stopping(Observer):
    """Raises when it is first told of something."""

    def __init__(self, at: str, error: BaseException) -> None:
        self.at, self.error, self.raised = at, error, False

    def _at(self, place: str) -> None:
        if place == self.at and not self.raised:
            self.raised = True
            raise self.error

    def on_start(self, scenario: Scenario, folder: Path) -> None:
        self._at("start")

    def on_record(self, record: LogRecord) -> None:
        at = getattr(record, "round", None)
        self._at(record.kind if at is None else f"{record.kind} {at}")

    def on_victims(self, victims: Sequence[Victim]) -> None:
        self._at("victims")

    def on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        self._at("progress")


PLACES = [
    "start",
    "run",
    "round 0",
    "upload 1",
    "round 1",
    "upload 2",
    "victims",
    "progress",
    "reconstruction 1",
    "leakage 2",
]


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (KeyboardInterrupt(), "interrupted", None),
        (ValueError("a screen too small"), "failed", "ValueError: a screen too small"),
    ],
    ids=["interrupt", "error"],
)
def test_a_run_that_is_broken_off_leaves_a_readable_folder(
    place: str, error: BaseException, status: str, told: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(type(error)):
        run(small(*ATTACKED), folder, observer=Stopping(place, error))
    records = list(read_records(folder))
    end = records[-1]
    assert isinstance(records[0], RunStarted)
    assert isinstance(end, RunEnded)
    assert (end.status, end.error) == (status, told)
    assert summarise(records).status == status
    assert load_scenario(str(folder / "scenario.toml")) == small(*ATTACKED)
    assert not [t for t in threading.enumerate() if t.name == "adversary"]


def test_what_was_finished_before_an_interrupt_is_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(small(*ATTACKED), tmp_path / "run", observer=Stopping("leakage 2", KeyboardInterrupt()))
    done = [r for r in recorded(tmp_path / "run", ReconstructionRecord) if r.round == 1]
    assert len(done) == 4
    assert all(load_tensors(tmp_path / "run", r.tensors) for r in done)


def test_a_scorer_that_fails_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Scorer, outcome: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Scorer, "score", full)
    with pytest.raises(OSError, match="disk full"):
        run(small(*ATTACKED), tmp_path / "run")
    [end] = recorded(tmp_path / "run", RunEnded)
    assert (end.status, end.error) == ("failed", "OSError: disk full")
    assert len(recorded(tmp_path / "run", UploadRecord)) == 6


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious", encoding="utf-8")
    with pytest.raises(RunError, match="not empty"):
        run(small(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_data_that_do_not_suffice_leave_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FedsimError, match="2000 images"):
        run(small("clients.0.count=2001"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="unknown engine 'rya': expected 'inline' or 'ray'"):
        run(small(), tmp_path / "run", engine="rya")  # type: ignore[arg-type]


def test_an_engine_of_ones_own_is_recorded_as_deployment(tmp_path: Path) -> None:
    folder = run(small(), tmp_path / "run", engine=run_inline)
    assert recorded(folder, RunStarted)[0].engine == "deployment"


def test_the_observer_sees_every_record_in_order(tmp_path: Path) -> None:
    class Watching(Observer):
        def __init__(self) -> None:
            self.records: list[LogRecord] = []

        def on_record(self, record: LogRecord) -> None:
            self.records.append(record)

    watching = Watching()
    folder = run(small(*ATTACKED), tmp_path / "run", observer=watching)
    assert watching.records == list(read_records(folder))
