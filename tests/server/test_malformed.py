"""Thousands of malformed replies: no crash, no bad value in the global model, each recorded.

    uv run pytest -s -m "slow or not slow" tests/server/test_malformed.py

prints a table with a row for each fault.
"""

# ruff: noqa: T201 - the table is what this is run for

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp.strategy import FedAvg, Strategy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedsim.clients.app import make_client_app
from fedsim.clients.site import site_of
from fedsim.core.text import MAX_SHOWN
from fedsim.engine.inline import InlineGrid
from fedsim.engine.observer import Observer
from fedsim.engine.recorder import Recorder
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import UploadRecord
from fedsim.log.writer import RunLog
from fedsim.server.eavesdropper import NO_REPLY, Eavesdropper
from fedsim.server.fedsgd import FedSGD
from fedsim.server.orderly import Orderly
from fedsim.server.standing_out import StandingOut
from fedsim.server.uploads import Limits, Upload
from tests.fedsim.small import small
from tests.server.malformed import ASKED, FAULTS, VALUES, Content, Fault
from tests.server.wire import reply_of, same, train_message

BAD = range(1, 7)
"""The clients that do harm, beside two honest ones."""
PARTITIONS = {p + 1: p for p in range(8)}
SHAPES = {k: tuple(v.shape) for k, v in VALUES.items()}
START = {k: torch.zeros(v.shape, dtype=torch.as_tensor(v).dtype) for k, v in VALUES.items()}
HONEST = {k: torch.as_tensor(v) for k, v in VALUES.items()}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep Flower's line on each round out of the table."""
    monkeypatch.setattr(logging.getLogger("flwr"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("flwr"), "level", logging.ERROR)


@dataclass
class Server:
    """The server's side of a round, without clients, and what it recorded."""

    kind: str
    folder: Path
    notes: list[tuple[int | None, int | None, str]] = field(default_factory=list)
    uploads: Sequence[Upload] = ()

    def __post_init__(self) -> None:
        scenario = small("clients.0.count=8")
        self.log = RunLog(self.folder)
        self.recorder = Recorder(site_of(scenario.to_toml()), self.log, Observer())
        self.recorder.start("inline", torch.device("cpu"))
        gradients = ["w"] if self.kind == "gradient" else []
        standing_out = StandingOut(gradients, self.note)

        def look(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
            self.uploads = uploads
            self.recorder.uploads(server_round, uploads)
            standing_out.remark(server_round, START, uploads)

        plain = FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)
        inner: Strategy = plain if not gradients else FedSGD(10.0, gradients)
        limits = Limits({k: v.dtype for k, v in START.items()}, dict.fromkeys(range(8), ASKED))
        orderly = Orderly(inner, PARTITIONS, SHAPES, seed=0, limits=limits, on_note=self.note)
        self.strategy = Eavesdropper(orderly, PARTITIONS, SHAPES, look, limits=limits)
        grid = InlineGrid(make_client_app(scenario.to_toml()), 8)
        self.strategy.configure_train(1, ArrayRecord(START), ConfigRecord(), grid)

    def note(self, server_round: int | None, partition: int | None, text: str) -> None:
        """Keep a remark."""
        self.notes.append((server_round, partition, text))

    def aggregate(self, *replies: Message) -> dict[str, torch.Tensor]:
        """Return the global model after a round with these replies."""
        self.notes.clear()
        arrays, _ = self.strategy.aggregate_train(1, replies)
        assert arrays is not None
        return dict(arrays.to_torch_state_dict())


@dataclass
class Row:
    """What became of the replies of one fault."""

    fault: str
    replies: int = 0
    refused: int = 0
    remarked: int = 0

    def __str__(self) -> str:
        return f"{self.fault:28} {self.replies:7} {self.refused:8} {self.remarked:9}"


def others() -> tuple[Message, Message]:
    """Return the replies of the honest clients."""
    return reply_of(HONEST, node=1, examples=ASKED), reply_of(HONEST, node=8, examples=ASKED)


def tried(name: str, fault: Fault, server: Server, examples: int) -> Row:
    """Let clients send malformed replies; return what became of them."""
    row, honest = Row(name), others()
    without = server.aggregate(*honest)
    # The median of a cohort is honest only if most of its clients are.
    size = 1 if fault.is_remarked else len(BAD)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(fault.replies, min_size=size, max_size=size))
    def send(contents: list[Content]) -> None:
        asked = (train_message({}, node=p + 1) for p in BAD)
        bad = [Message(c, reply_to=m) for c, m in zip(contents, asked, strict=False)]
        found = server.aggregate(*honest, *bad)
        remarked = {client for _, client, _ in server.notes}
        row.replies += size
        row.remarked += len(remarked.intersection(BAD))
        assert {k: tuple(v.shape) for k, v in found.items()} == SHAPES
        assert all(bool(torch.isfinite(v.to(START[k].dtype)).all()) for k, v in found.items())
        problems = {u.partition: u.problem for u in server.uploads if u.problem != NO_REPLY}
        assert problems.pop(0) is problems.pop(7) is None
        refused = [why for why in problems.values() if why is not None]
        row.refused += len(refused)
        assert all(why.isprintable() and len(why) <= MAX_SHOWN for why in refused)
        assert len(refused) < size or same(found, without)
        if fault.expected != "either":
            assert len(refused) == (size if fault.expected == "refused" else 0), problems
        assert not fault.is_remarked or 1 in remarked

    send()
    return row


def table(kind: str, folder: Path, examples: int) -> list[Row]:
    """Try every fault; check that each reply is in the log, and print a table."""
    server = Server(kind, folder)
    rows = [tried(name, fault, server, examples) for name, fault in FAULTS.items()]
    server.log.close()
    records = of_kind(read_records(folder), UploadRecord)
    sent = [r for r in records if r.partition in BAD and r.problem != NO_REPLY]
    total = Row("all")
    for row in rows:
        total.replies += row.replies
        total.refused += row.refused
        total.remarked += row.remarked
    assert len(sent) == total.replies
    assert sum(r.problem is not None for r in sent) == total.refused
    print(f"\n{kind + ' uploads':28} replies  refused  remarked")
    print("\n".join(map(str, [*rows, total])))
    return rows


@pytest.mark.parametrize("kind", ["gradient", "update"])
def test_malformed_replies_do_no_harm(kind: str, tmp_path: Path) -> None:
    rows = table(kind, tmp_path / "run", examples=2)
    assert sum(r.replies for r in rows) >= 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gradient", "update"])
def test_thousands_of_malformed_replies_of_each_kind_do_no_harm(kind: str, tmp_path: Path) -> None:
    rows = table(kind, tmp_path / "run", examples=40)
    assert sum(r.replies for r in rows) >= 5000
