"""Recorder: writes the events of a run to its log."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from fedsim.clients.defenses import Check
from fedsim.clients.site import Site
from fedsim.core.plugins import loaded_plugins
from fedsim.core.tasks import IGNORED, Task
from fedsim.core.version import __version__
from fedsim.engine.estimate import attack_seconds
from fedsim.engine.observer import Observer
from fedsim.engine.sources import sources
from fedsim.log.schema import (
    AttackedRecord,
    Component,
    EmergenceRecord,
    LeakageRecord,
    LogRecord,
    ManipulationRecord,
    ModelTraits,
    NoteRecord,
    PluginFile,
    ReconstructionRecord,
    RoundRecord,
    RunEnded,
    RunStarted,
    SumRecord,
    UploadRecord,
)
from fedsim.log.writer import RunLog
from fedsim.models.traits import traits
from fedsim.scoring import Scored, Scorer
from fedsim.scoring.metrics.baselines import random_label_accuracy
from fedsim.scoring.metrics.chance import commonest_share
from fedsim.scoring.privacy import PrivacyLedger
from fedsim.server.manipulating import Sent
from fedsim.server.secure.strategy import clear_of
from fedsim.server.uploads import Sum, Upload, digest
from fedsim.server.victims import Outcome, group_name

RECORDED_PACKAGES = ("flwr", "ray", "torch", "torchvision", "numpy")


class Recorder:
    """Writes the events of a run to its log, and passes each record to the observer.

    Safe to call from several threads.

    Args:
        site: the scenario with its data.
        log: the run's folder.
        observer: called with each record.
    """

    def __init__(self, site: Site, log: RunLog, observer: Observer) -> None:
        self._scenario, self._site, self._log = site.scenario, site, log
        self._observer = observer
        self._ledger = PrivacyLedger(site)
        self._lock = threading.Lock()

    def start(self, engine: str, device: torch.device) -> RunStarted:
        """Write and return the first record, without calling the observer."""
        record = _started(self._site, engine, device)
        self._log.append(record)
        return record

    def recall(self, records: Sequence[LogRecord]) -> None:
        """Account for what was recorded before; nothing is written.

        Args:
            records: the records with which an unfinished run goes on.
        """
        for record in records:
            if isinstance(record, UploadRecord):
                self._ledger.spend(record.partition)

    def audit(self) -> None:
        """Audit the clients' claims of differential privacy, before anything is sent.

        Raises:
            RunError: an audit refutes a claim.
        """
        self._ledger.audit()

    def end(self, status: str, error: str | None, seconds: float) -> None:
        """Record the end of the run."""
        self._add(RunEnded(status=status, error=error, seconds=seconds))

    def accuracy(self, server_round: int, accuracy: float) -> None:
        """Record the accuracy of the global model."""
        self._add(RoundRecord(round=server_round, accuracy=accuracy))

    def attacked(self, server_round: int) -> None:
        """Record the end of a round's attacks."""
        self._add(AttackedRecord(round=server_round))

    def note(self, note: NoteRecord) -> None:
        """Record a remark on the run."""
        self._add(note)

    def uploads(self, server_round: int, uploads: Sequence[Upload]) -> None:
        """Record the uploads of a round."""
        for upload in uploads:
            self._add(
                UploadRecord(
                    round=server_round,
                    partition=upload.partition,
                    group=self._scenario.group_of(upload.partition).name,
                    bytes=upload.metrics.get("upload-bytes"),
                    examples=upload.metrics.get("num-examples"),
                    loss=upload.metrics.get("loss"),
                    defenses=self._defenses(upload.partition),
                    did=dict(upload.did),
                    privacy=self._ledger.spend(upload.partition),
                    digest=digest(upload) if upload.arrays else None,
                    problem=upload.problem,
                    noticed=self._noticed(upload),
                    refused=bool(self._refusals(upload)),
                )
            )

    def _refusals(self, upload: Upload) -> tuple[str, ...]:
        """Return the check with which a client refused the round, among those that it has."""
        names = [str(d["name"]) for d in self._scenario.describe_defenses(upload.partition)]
        said = upload.problem or ""
        return tuple(n for n in dict.fromkeys(names) if f"refused by {n}:" in said)

    def _noticed(self, upload: Upload) -> tuple[str, ...]:
        """Return the checks of a client that suspected the server."""
        flags = [
            k.split(".") for k, value in upload.did.items() if value and k.endswith(".flagged")
        ]
        return (*self._refusals(upload), *dict.fromkeys(key[1] for key in flags if len(key) == 3))

    def _defenses(self, partition: int) -> tuple[Component, ...]:
        tables = self._scenario.describe_defenses(partition)
        chain = zip(tables, self._scenario.group_of(partition).defenses, strict=True)
        return tuple(
            Component.of(table).model_copy(
                update={
                    "units": dict(defense.other_units),
                    "check": isinstance(defense, Check),
                    "accuses": not isinstance(defense, Check) or defense.accuses,
                }
            )
            for table, defense in chain
        )

    def total(self, server_round: int, total: Sum) -> None:
        """Record the result of a secure aggregation, and the visible values."""
        plan = Component.of(self._scenario.model_dump()["federation"]["aggregation"])
        sizes = [u.metrics["upload-bytes"] for u in total.uploads if u.problem is None]
        clients = len(total.partitions)
        self._add(
            SumRecord(
                round=server_round,
                partitions=tuple(total.partitions),
                bytes=sum(sizes) / len(sizes) if sizes else None,
                examples=total.examples,
                defenses=(Component(name=plan.name, parameters={"clients": clients}),),
                aggregation=plan,
                clear=clear_of(total),
                dropped={str(p): why for p, why in sorted(total.dropped.items())},
                costs=dict(total.costs),
                digest=digest(total) if total.arrays else None,
                problem=total.problem,
            )
        )

    def sent(self, sent: Sent) -> None:
        """Record a model that the server has changed."""
        changed = sent.changed
        self._add(
            ManipulationRecord(
                round=sent.server_round,
                partitions=sent.partitions,
                manipulation=Component.of(self._scenario.model_dump()["adversary"]["malicious"]),
                what=changed.what,
                tensors=changed.tensors,
                constants=dict(changed.constants),
                expected=changed.expected,
                accuracy=sent.accuracy,
                honest_accuracy=sent.honest_accuracy,
                others=tuple(p for p in sent.receivers if p not in sent.partitions),
                letter=sent.letter,
            )
        )

    def outcome(
        self, outcome: Outcome, scored: Scored, scorer: Scorer, *, cut: bool = False
    ) -> None:
        """Save the tensors of an attack, and record it with its scores.

        Args:
            outcome: the outcome.
            scored: its scores.
            scorer: the scorer.
            cut: whether the run was broken off before the attack had ended.
        """
        victim, found = outcome.victim, outcome.reconstruction
        tensors = self._log.save_tensors(victim.name, _tensors(outcome, scored))
        group, fit = group_name(self._scenario, victim), scored.fit
        self._add(
            ReconstructionRecord(
                victim=victim.name,
                round=victim.server_round,
                partition=victim.partition,
                group=group,
                attacker=victim.attacker,
                attack=type(victim.attack).__name__,
                status=found.status.value,
                objective=found.relative_objective,
                truth_objective=None if fit is None else fit.relative_objective,
                explained=None if fit is None else fit.explained,
                rounding=None if fit is None else fit.rounding,
                evaluations=found.evaluations,
                trial=found.trial,
                seconds=outcome.seconds,
                approximate=scorer.approximate(victim),
                statistics=_statistics(outcome),
                error=found.error,
                tensors=tensors,
                cut=cut,
                film=outcome.film,
            )
        )
        for score in scored.leakage:
            self._add(
                LeakageRecord(
                    victim=victim.name,
                    round=victim.server_round,
                    partition=victim.partition,
                    group=group,
                    attacker=victim.attacker,
                    score=score,
                )
            )
        for example, moments in scorer.emergence(outcome, scored).items():
            self._add(EmergenceRecord(victim=victim.name, example=example, moments=moments))

    def _add(self, record: LogRecord) -> None:
        with self._lock:
            self._log.append(record)
            self._observer.on_record(record)


def versions() -> dict[str, str]:
    """Return the versions of fedsim and of the packages that affect its results."""
    found = {"fedsim": __version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES}


def _started(site: Site, engine: str, device: torch.device) -> RunStarted:
    public = site.dataset.test
    chance, random_label = _chances(site)
    return RunStarted(
        title=site.scenario.title,
        seed=site.scenario.seed,
        engine=engine,
        device=str(device),
        modality=site.scenario.data.dataset.modality,
        task=str(public.task),
        chance=chance,
        random_label=random_label,
        estimate_s=attack_seconds(site, device),
        model=ModelTraits(**traits(site.model(site.architecture.state_dict()))),
        versions=versions(),
        sources=sources(site.scenario),
        plugins=tuple(PluginFile(name=p.name, sha256=p.sha256) for p in loaded_plugins()),
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        command=tuple(sys.argv),
    )


def _chances(site: Site) -> tuple[float, float | None]:
    """Return the accuracy of a constant guess, and that of guessed labels, if there are any."""
    public = site.dataset.test
    if public.targets is not None:
        chance = public.targets.chance()
        return chance, chance if public.task == Task.LABELS else None
    random_label = random_label_accuracy(site.dataset.num_classes)
    if public.task == Task.CLASSIFY:
        return random_label, random_label
    _, labels = public.batch(np.arange(len(public)))
    return commonest_share(labels[labels != IGNORED]), random_label


def _statistics(outcome: Outcome) -> str | None:
    """Return the source of the BatchNorm statistics that an attack used."""
    victim = outcome.victim
    if victim.observation is None:
        return None
    return victim.attack.statistics_source(outcome.model, victim.observation)


def _tensors(outcome: Outcome, scored: Scored) -> Mapping[str, torch.Tensor]:
    found = outcome.reconstruction
    tensors = {} if scored.originals is None else {"original": scored.originals}
    if scored.guess is not None:
        tensors["guess"] = scored.guess
    if found.data is not None:
        tensors["reconstruction"] = found.data
    if found.labels is not None:
        tensors["labels"] = found.labels
    if scored.matching is not None:
        tensors["matching"] = scored.matching
    if found.history:
        tensors["history"] = torch.stack([s.data for s in found.history])
        tensors["evaluations"] = torch.tensor([s.evaluation for s in found.history])
        tensors["objectives"] = torch.tensor([s.objective for s in found.history])
    return tensors
