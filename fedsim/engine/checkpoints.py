"""Checkpoints of a run's training: the global model and the clients' states after a round.

They lie in the run folder while the run is unfinished, as files of tensors; nothing is unpickled.
What is behind the log, such as attacks that wait, is not stored: a run goes on from a checkpoint
up to which all is in the log, and computes the rest again, with the same results.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from flwr.app import ArrayRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedsim.clients.defenses import Check, Defense
from fedsim.core.arrays import record_of, tensors_of
from fedsim.core.errors import RunError
from fedsim.log.reader import inside
from fedsim.scenario import Scenario

CHECKPOINTS = "checkpoints"
SHARE = 0.05
"""Maximum share of a run's time in which checkpoints are written."""
_MODEL, _STATE, _ABOUT = "model.", "state.", "checkpoint"


@runtime_checkable
class KeepsStates(Protocol):
    """A grid in whose process the clients' Flower states are."""

    def client_states(self) -> Mapping[int, RecordDict]:
        """Return the state of each client that has one, by partition."""

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Give clients their states back."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Training after a round.

    Attributes:
        after: the round.
        arrays: the global model after it.
        states: Flower states of the clients that have one, by partition.
        pending: rounds whose attacks had not ended.
        logged: size of the records then, in bytes.
    """

    after: int
    arrays: ArrayRecord
    states: Mapping[int, RecordDict] = field(default_factory=dict)
    pending: tuple[int, ...] = ()
    logged: int = 0


def keeps_states(scenario: Scenario) -> bool:
    """Return whether clients need a Flower state from one round in the next.

    Defenses such as deep gradient compression do, and so does encryption, with keys for all rounds.
    """
    of_defenses = any(
        type(d).protect_next is not Defense.protect_next or (isinstance(d, Check) and d.remembers)
        for group in scenario.clients
        for d in group.defenses
    )
    return of_defenses or bool(scenario.federation.aggregation.hides)


class Checkpoints:
    """The checkpoints of one run. Safe to use from several threads.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pending: set[int] = set()
        self._lock = threading.Lock()
        self._spent, self._last = 0.0, time.monotonic()

    def attacking(self, server_round: int) -> None:
        """Take note of a round whose attacks begin, now or later."""
        with self._lock:
            self._pending.add(server_round)

    def attacked(self, server_round: int) -> None:
        """Take note that the attacks of a round are in the log."""
        with self._lock:
            self._pending.discard(server_round)

    def save(
        self,
        after: int,
        arrays: ArrayRecord,
        states: Mapping[int, RecordDict],
        logged: Callable[[], int],
    ) -> None:
        """Store a checkpoint, unless that would take more than its share of the run's time.

        Older ones are deleted, but for the last before each round whose attacks have not ended.

        Args:
            after: the round.
            arrays: the global model after it.
            states: Flower states of the clients that have one, by partition.
            logged: returns the size of the records on the disk, in bytes.

        Raises:
            OSError: the folder cannot be written.
        """
        began = time.monotonic()
        if self._spent > SHARE * (began - self._last):
            return
        with self._lock:
            pending = tuple(sorted(self._pending))
        _write(self._folder, Checkpoint(after, arrays, states, pending, logged()))
        first = min([after, *(r - 1 for r in pending)])
        older = sorted(r for r in _found(self._folder) if r <= first)
        for useless in older[:-1]:
            _path(self._folder, useless).unlink(missing_ok=True)
        self._last = time.monotonic()
        self._spent = self._last - began

    def clear(self) -> None:
        """Delete all checkpoints."""
        shutil.rmtree(self._folder / CHECKPOINTS, ignore_errors=True)

    def keep(self, only: Checkpoint | None) -> None:
        """Delete all checkpoints but one, before the log loses what the others build on."""
        for after in _found(self._folder):
            if only is None or after != only.after:
                _path(self._folder, after).unlink(missing_ok=True)

    def rewrite(self, checkpoint: Checkpoint, logged: int) -> None:
        """Store a checkpoint once more, for a log that now has another size.

        Raises:
            OSError: the folder cannot be written.
        """
        _write(self._folder, replace(checkpoint, pending=(), logged=logged))


def latest(folder: Path, attacked: Collection[int], logged: int) -> Checkpoint | None:
    """Return the last checkpoint up to which all is in the log, or None.

    Args:
        folder: the run folder, which is not trusted.
        attacked: rounds whose attacks are in the log.
        logged: size of the readable records, in bytes.
    """
    for after in sorted(_found(folder), reverse=True):
        try:
            found = _read(folder, after)
        except RunError:  # a file that a power cut has damaged; an older one is as good
            continue
        if found.logged <= logged and set(found.pending) <= set(attacked):
            return found
    return None


def _path(folder: Path, after: int) -> Path:
    return folder / CHECKPOINTS / f"after-{after:06d}.safetensors"


def _found(folder: Path) -> list[int]:
    names = (p.stem.removeprefix("after-") for p in (folder / CHECKPOINTS).glob("after-*.saf*"))
    return [int(n) for n in names if n.isdecimal()]


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    tensors = {_MODEL + k: v for k, v in tensors_of(checkpoint.arrays).items()}
    for partition, state in checkpoint.states.items():
        stored = recorddict_to_proto(state).SerializeToString()
        tensors[f"{_STATE}{partition}"] = torch.frombuffer(bytearray(stored), dtype=torch.uint8)
    about = {
        "after": checkpoint.after,
        "pending": list(checkpoint.pending),
        "logged": checkpoint.logged,
    }
    path = _path(folder, checkpoint.after)
    path.parent.mkdir(exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    plain = {k: v.contiguous() for k, v in tensors.items()}
    try:
        save_file(plain, scratch, {_ABOUT: json.dumps(about)})
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        scratch.unlink(missing_ok=True)


def _read(folder: Path, after: int) -> Checkpoint:
    """Return a stored checkpoint.

    Raises:
        RunError: it is not a checkpoint.
    """
    path = inside(folder, _path(folder, after).relative_to(folder).as_posix())
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()[_ABOUT])
            tensors: dict[str, Tensor] = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        states = {
            int(k.removeprefix(_STATE)): _state(v)
            for k, v in tensors.items()
            if k.startswith(_STATE)
        }
        model = {k.removeprefix(_MODEL): v for k, v in tensors.items() if k.startswith(_MODEL)}
        return Checkpoint(
            int(about["after"]),
            record_of(model),
            states,
            tuple(int(r) for r in about["pending"]),
            int(about["logged"]),
        )
    except Exception as error:  # what a damaged or a stranger's file can cause has no other bounds
        raise RunError(f"{path}: not a checkpoint: {type(error).__name__}: {error}") from error


def _state(stored: Tensor) -> RecordDict:
    return recorddict_from_proto(RecordDictProto.FromString(bytes(stored.numpy())))
