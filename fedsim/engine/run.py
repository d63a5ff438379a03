"""One run from scenario to run folder."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedsim.clients.app import make_client_app
from fedsim.clients.site import Site, open_site
from fedsim.clients.training import one_thread
from fedsim.core.errors import RunError
from fedsim.core.modality import PICTURES, TEXTS
from fedsim.core.plugins import loaded_plugins
from fedsim.core.tasks import IGNORED, Task
from fedsim.core.version import __version__
from fedsim.engine.estimate import attack_seconds
from fedsim.engine.flower import logs_to
from fedsim.engine.observer import Observer
from fedsim.engine.sources import sources
from fedsim.log.files import FORMAT, SCENARIO, Record, RunLog
from fedsim.log.summary import SUM
from fedsim.models import TextModel
from fedsim.models.traits import traits
from fedsim.scenario import Scenario
from fedsim.scoring import Scored, Scorer
from fedsim.scoring.metrics.baselines import random_label_accuracy
from fedsim.scoring.metrics.chance import commonest_share
from fedsim.scoring.privacy import PrivacyLedger
from fedsim.server.adversary import Adversary
from fedsim.server.federation import federate
from fedsim.server.secure.strategy import CLEAR, CLEAR_OF_TEXTS
from fedsim.server.uploads import Sum, Upload, digest
from fedsim.server.victims import Listeners, Outcome
from fedsim.show.report.run import conclude_run
from fedsim.show.run_pictures import draw_round, draw_victim, group_name
from fedsim.show.run_texts import Sentences

EngineName = Literal["inline", "ray"]
Engine = Callable[[Callable[[Grid], None], ClientApp, int], None]
"""``(server function, client app, number of clients)``: calls the function with their grid."""

RECORDED_PACKAGES = ("flwr", "ray", "torch", "torchvision", "numpy")


def run(
    scenario: Scenario,
    folder: Path,
    *,
    engine: EngineName | Engine = "inline",
    observer: Observer | None = None,
) -> Path:
    """Run a scenario and return its folder.

    The folder is complete in itself whenever the run ends: by itself, by an error, by an
    interrupt or by the death of the process.

    Args:
        scenario: what to run.
        folder: the run folder; must be empty or not exist.
        engine: where the clients live: in this process, on Ray's workers, or wherever a given
            function brings a server function to them.
        observer: watches.

    Raises:
        FedsimError: the run could not start or could not go on; the folder says so too.
        KeyboardInterrupt: the user ended the run; the folder holds what was finished.
    """
    threads = max(1, torch.get_num_threads() - 1)
    with one_thread():  # the adversary's thread has the others: see there
        site = open_site(scenario)
        return _Run(site, RunLog(folder), engine, observer or Observer(), threads).go()


def no_attack(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload | Sum]) -> None:
    """Let a round's uploads be."""


def versions() -> dict[str, str]:
    """Return the versions of what a run depends on."""
    found = {"fedsim": __version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES}


def best_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _Run:
    """One call of `run`."""

    def __init__(
        self,
        site: Site,
        log: RunLog,
        engine: EngineName | Engine,
        observer: Observer,
        threads: int,
    ) -> None:
        self._scenario, self._site, self._log = site.scenario, site, log
        self._engine, self._observer, self._threads = engine, observer, threads
        self._scorer = Scorer(site)
        model = site.architecture
        self._sentences = Sentences(model, log) if isinstance(model, TextModel) else None
        self._ledger = PrivacyLedger(site)
        self._finished: list[tuple[Outcome, Scored]] = []
        self._records = threading.Lock()

    def go(self) -> Path:
        self._log.write_text(SCENARIO, self._scenario.to_toml())
        device = best_device()
        first = self._log.append(
            "run",
            format=FORMAT,
            title=self._scenario.title,
            seed=self._scenario.seed,
            engine=self._engine if isinstance(self._engine, str) else "deployment",
            device=str(device),
            **self._about(),
            estimate_s=attack_seconds(self._site, device),
            model=traits(self._site.model(self._site.architecture.state_dict())),
            versions=versions(),
            sources=sources(self._scenario),
            plugins=[{"name": p.name, "sha256": p.sha256} for p in loaded_plugins()],
            started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            command=sys.argv,
        )
        began = time.monotonic()
        status, error = "failed", None
        try:
            self._observer.on_start(self._scenario, self._log.folder)
            self._observer.on_record(first)
            if self._sentences is not None:
                self._observer.on_reader(self._sentences.reader(self._scorer))
            with logs_to(self._log.folder / "flower.log"):
                self._federate(device)
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            self._record("end", status=status, error=error, seconds=time.monotonic() - began)
            self._log.close()
            conclude_run(self._log.folder)
        return self._log.folder

    def _about(self) -> dict[str, Any]:
        """Return what kind of data there is, what is learnt of it, and what a guesser knows."""
        dataset = self._site.dataset
        random_label = random_label_accuracy(dataset.num_classes)
        about = {"data_kind": PICTURES, "task": Task.CLASSIFY, "chance": random_label}
        model = self._site.architecture
        if isinstance(model, TextModel):
            about |= {"data_kind": TEXTS, "task": model.task}
            if model.task is not Task.CLASSIFY:
                _, labels = dataset.test.batch(np.arange(len(dataset.test)))
                about["chance"] = commonest_share(labels[labels != IGNORED])
        return {**about, "random_label": random_label}

    def _federate(self, device: torch.device) -> None:
        adversary = self._adversary(device)
        attack = no_attack if adversary is None else adversary.intercept

        def on_uploads(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
            self._record_uploads(server_round, uploads)
            attack(server_round, arrays, uploads)

        def on_sum(server_round: int, arrays: ArrayRecord, total: Sum) -> None:
            self._record_uploads(server_round, total.uploads)
            self._record_sum(server_round, total)
            if total.problem is None:
                attack(server_round, arrays, [total])

        def on_round(server_round: int, accuracy: float) -> None:
            self._record("round", round=server_round, accuracy=accuracy)

        def server(grid: Grid) -> None:
            with one_thread():
                train(grid)

        def train(grid: Grid) -> None:
            model = self._site.model(self._site.architecture.state_dict())
            result = federate(
                grid,
                self._scenario,
                model,
                self._site.dataset.test,
                on_uploads=on_uploads,
                on_round=on_round,
                on_sum=on_sum,
            )
            self._log.save_tensors("final-model", result.arrays.to_torch_state_dict())

        try:
            client_app = make_client_app(self._scenario.to_toml(), loaded_plugins())
            engine = _named(self._engine) if isinstance(self._engine, str) else self._engine
            engine(server, client_app, self._scenario.num_clients)
            if adversary is not None:
                adversary.finish()
        except BaseException:
            if adversary is not None:
                adversary.cancel()
            raise

    def _adversary(self, device: torch.device) -> Adversary | None:
        plan = self._scenario.adversary
        if plan is None:
            return None
        listeners = Listeners(
            on_outcome=self._on_outcome,
            on_victims=self._observer.on_victims,
            on_progress=self._observer.on_progress,
            on_round_done=self._on_round_attacked,
        )
        return Adversary(
            self._scenario,
            plan,
            self._site.architecture,
            self._site.dataset.test,
            listeners,
            device,
            self._threads,
        )

    def _record(self, kind: str, **values: Any) -> Record:
        with self._records:
            record = self._log.append(kind, **values)
            self._observer.on_record(record)
            return record

    def _record_uploads(self, server_round: int, uploads: Sequence[Upload]) -> None:
        for upload in uploads:
            spent = None if upload.problem else self._ledger.spend(upload.partition)
            self._record(
                "upload",
                round=server_round,
                partition=upload.partition,
                group=self._scenario.group_of(upload.partition).name,
                bytes=upload.metrics.get("upload-bytes"),
                examples=upload.metrics.get("num-examples"),
                loss=upload.metrics.get("loss"),
                defenses=self._scenario.describe_defenses(upload.partition),
                did=dict(upload.did),
                privacy=None if spent is None else asdict(spent),
                digest=digest(upload) if upload.arrays else None,
                problem=upload.problem,
            )

    def _record_sum(self, server_round: int, total: Sum) -> None:
        """Record what a secure aggregation revealed, and what it left in the clear."""
        plan = self._scenario.model_dump()["federation"]["aggregation"]
        sizes = [u.metrics["upload-bytes"] for u in total.uploads if u.problem is None]
        self._record(
            "sum",
            round=server_round,
            partitions=list(total.partitions),
            group=SUM,
            bytes=sum(sizes) / len(sizes) if sizes else None,
            examples=total.examples,
            defenses=[{"name": plan["name"], "clients": len(total.partitions)}],
            aggregation=plan,
            clear=[*CLEAR, *(CLEAR_OF_TEXTS if total.lengths else ())],
            dropped={str(p): why for p, why in sorted(total.dropped.items())},
            costs=dict(total.costs),
            digest=digest(total) if total.arrays else None,
            problem=total.problem,
        )

    def _on_outcome(self, outcome: Outcome) -> None:
        """Score one victim, save and draw it; called from the adversary's thread."""
        scored = self._scorer.score(outcome)
        self._finished.append((outcome, scored))
        name = outcome.victim.name
        tensors = self._log.save_tensors(name, _tensors(outcome, scored))
        self._record(
            "reconstruction",
            **self._who(outcome),
            attack=type(outcome.victim.attack).__name__,
            status=outcome.reconstruction.status.value,
            objective=outcome.reconstruction.relative_objective,
            truth_objective=scored.truth_misfit,
            evaluations=outcome.reconstruction.evaluations,
            trial=outcome.reconstruction.trial,
            seconds=outcome.seconds,
            approximate=self._scorer.approximate(outcome.victim),
            error=outcome.reconstruction.error,
            tensors=tensors,
        )
        for leakage in scored.leakage:
            self._record("leakage", **self._who(outcome), **asdict(leakage))
        if self._sentences is None:
            draw_victim(self._log, outcome, scored)
            return
        for text, moments in enumerate(self._sentences.draw(outcome, scored)):
            self._record("emergence", victim=name, image=text, moments=moments)

    def _on_round_attacked(self, server_round: int) -> None:
        if self._sentences is None:
            draw_round(self._log, self._scenario, server_round, self._finished)
        self._finished.clear()

    def _who(self, outcome: Outcome) -> dict[str, Any]:
        victim = outcome.victim
        return {
            "victim": victim.name,
            "round": victim.server_round,
            "partition": victim.partition,
            "group": group_name(self._scenario, victim),
            "attacker": victim.attacker,
        }


def _tensors(outcome: Outcome, scored: Scored) -> Mapping[str, torch.Tensor]:
    found = outcome.reconstruction
    tensors = {"original": scored.originals}
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


def _named(name: str) -> Engine:
    """Return the engine of that name; Ray is only imported when it is asked for."""
    if name == "inline":
        from fedsim.engine.inline import run_inline  # noqa: PLC0415

        return run_inline
    if name == "ray":
        from fedsim.engine.ray import run_ray  # noqa: PLC0415

        return run_ray
    raise RunError(f"unknown engine {name!r}: expected 'inline' or 'ray'")
