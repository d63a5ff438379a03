"""Audit of uploads that were recorded anywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from torch import Tensor

from fedsim.core.errors import FedsimError, RunError, UploadError
from fedsim.engine.audit.opened import OpenFolder
from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.observer import Observer
from fedsim.log.schema import NoteRecord
from fedsim.log.writer import RunLog
from fedsim.server.foreign import named_as
from fedsim.server.uploads import Upload

ROUND = 1
RECORDED = "a recorded round"


def audit_uploads(
    plan: AuditPlan,
    log: RunLog,
    observer: Observer,
    before: Mapping[str, Tensor],
    after: Sequence[Mapping[str, Tensor]],
) -> None:
    """Attack recorded uploads and write a run folder.

    Args:
        plan: the plan.
        log: the run folder; closed in the end.
        observer: observer of the run.
        before: the model that the clients received, by name.
        after: for each client its trained weights or its gradient, by name.

    Raises:
        FedsimError: the tensors are not those of the model.
        KeyboardInterrupt: the user stopped the audit; the folder has everything finished so far.
    """
    began = time.monotonic()
    shapes = {k: tuple(v.shape) for k, v in plan.architecture.state_dict().items()}
    opened: OpenFolder | None = None
    early: list[NoteRecord] = []

    def said(text: str, server_round: int | None, partition: int | None) -> None:
        note = NoteRecord(round=server_round, partition=partition, text=text)
        if opened is None:
            early.append(note)
        else:
            opened.recorder.note(note)

    status, problem = "failed", None
    try:
        try:
            sent = named_as(before, shapes)
            uploads = [_upload(p, named_as(each, shapes)) for p, each in enumerate(after)]
        except UploadError as error:
            raise RunError(str(error)) from None
        opened = OpenFolder(
            plan,
            log,
            observer,
            said,
            strategy=RECORDED,
            rounds=ROUND,
            nodes={p: p for p in range(len(uploads))},
            uploads=uploads,
            sent=sent,
        )
        opened.begin()
        opened.attack(ROUND, {**plan.architecture.state_dict(), **sent}, uploads)
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except FedsimError as error:
        problem = str(error)
        raise
    finally:
        if opened is not None:
            opened.recorder.end(status, problem, time.monotonic() - began)
        log.close()


def _upload(partition: int, arrays: dict[str, Tensor]) -> Upload:
    size = sum(t.numel() * t.element_size() for t in arrays.values())
    return Upload(partition, arrays, {"upload-bytes": float(size)})
