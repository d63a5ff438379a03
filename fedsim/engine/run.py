"""Execution of one run: from a scenario to a run folder."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedsim.attacks import Assumptions
from fedsim.clients.app import make_client_app
from fedsim.clients.site import Site, open_site
from fedsim.clients.training import one_thread
from fedsim.core.arrays import tensors_of
from fedsim.core.environment import ADDRESS_VARIABLE
from fedsim.core.errors import RunError
from fedsim.core.plugins import loaded_plugins
from fedsim.core.precision import best_device, full_float32
from fedsim.core.signals import ended_as_interrupts
from fedsim.engine.attack_tasks import on_cluster
from fedsim.engine.flower import logs_to
from fedsim.engine.observer import Observer
from fedsim.engine.past import Checkpointing, EngineName, Past
from fedsim.engine.recorder import Recorder
from fedsim.log.folders import SCENARIO
from fedsim.log.schema import LogRecord, NoteRecord
from fedsim.log.writer import RunLog
from fedsim.scenario import Scenario
from fedsim.scoring import Scorer
from fedsim.server.adversary import Adversary
from fedsim.server.federation import federate
from fedsim.server.solving import here
from fedsim.server.uploads import Sum, Upload
from fedsim.server.victims import Listeners, Outcome

MOST_NAMED = 20
"""Maximum number of clients that a remark names."""

Engine = Callable[[Callable[[Grid], None], ClientApp, int], None]
"""``(server function, client app, number of clients)``: calls the function with their grid."""


def run(
    scenario: Scenario,
    folder: Path,
    *,
    engine: EngineName | Engine = "inline",
    observer: Observer | None = None,
) -> Path:
    """Run a scenario and return its folder.

    The folder holds records and tensors, complete in themselves whenever the run ends: by itself,
    by an error, by an interrupt or by the death of the process. Whatever is shown is made from
    them.

    Args:
        scenario: what to run.
        folder: the run folder; must be empty or not exist.
        engine: where the clients run: in this process, on Ray's workers, or in the environment of
            a given function, which calls a server function with their grid.
        observer: observer of the run.

    Raises:
        FedsimError: the run could not start or continue; the folder records this too.
        KeyboardInterrupt: the user stopped the run, or SIGTERM or SIGHUP did; the folder has
            everything finished so far.
    """
    cpus = torch.get_num_threads()
    # What clients compute is scored to float32's precision.
    with ended_as_interrupts(), one_thread(), full_float32():
        site = open_site(scenario)
        return _Run(site, RunLog(folder), engine, observer or Observer(), cpus).go()


def resume(folder: Path, *, observer: Observer | None = None) -> Path:
    """Go on with an unfinished run, to the records that it would have had, and return its folder.

    Finished attacks are not repeated. Training goes on from the last checkpoint; it begins with the
    first round if there is none: if the attacker combines rounds, or on Ray, where the clients'
    states are not in this process, if they need them. Its results are the same.

    Args:
        folder: the folder of a run that was interrupted, failed, or died.
        observer: observer of the run, which first sees the records that are kept.

    Raises:
        FedsimError: there is nothing to go on with, the plugins that the run had are not loaded, or
            the run could not continue; the folder records the last of these.
        KeyboardInterrupt: as in `run`.
    """
    cpus = torch.get_num_threads()
    with ended_as_interrupts(), one_thread(), full_float32():
        past = Past.read(folder)
        site = open_site(past.scenario)
        log = past.reopen()
        return _Run(site, log, past.engine, observer or Observer(), cpus, past).go()


class _Run:
    """State of one call of `run`."""

    def __init__(
        self,
        site: Site,
        log: RunLog,
        engine: EngineName | Engine,
        observer: Observer,
        cpus: int,
        past: Past | None = None,
    ) -> None:
        self._scenario, self._site, self._log = site.scenario, site, log
        self._engine, self._observer, self._cpus = engine, observer, cpus
        self._scorer = Scorer(site)
        self._recorder = Recorder(site, log, observer)
        self._past, self._checkpointing = past, Checkpointing(site.scenario, log, past)
        self._cut = False
        # A Ray cluster computes the attacks, too.
        self._on_cluster = engine == "ray" and bool(os.environ.get(ADDRESS_VARIABLE))

    def go(self) -> Path:
        device = best_device()
        try:
            records = self._first(device)
        except BaseException:
            with suppress(RunError):  # nor could this be written
                self._log.close()
            raise
        began = time.monotonic()
        status, error = "failed", None
        try:
            self._observer.on_start(self._scenario, self._log.folder)
            for record in records:
                self._observer.on_record(record)
            self._observer.on_reader(self._scorer.read)
            self._recorder.audit()
            with logs_to(self._log.folder / "flower.log"):
                self._federate(device)
            status = "finished"
            self._checkpointing.clear()
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            self._end(status, error, time.monotonic() - began)
        return self._log.folder

    def _first(self, device: torch.device) -> Sequence[LogRecord]:
        """Write and return the first record; those that are kept if the run goes on."""
        if self._past is not None:
            self._recorder.recall(self._past.records)
            self._scorer.recall(self._past.records)
            return self._past.records
        self._log.write_text(SCENARIO, self._scenario.to_toml())
        engine = self._engine if isinstance(self._engine, str) else "deployment"
        return [self._recorder.start(engine, device)]

    def _end(self, status: str, error: str | None, seconds: float) -> None:
        try:
            with closing(self._log):
                self._recorder.end(status, error, seconds)
        except RunError:
            if status == "finished":
                raise
            # The reason for the end of the run is told, not that there was no room to record it.

    def _federate(self, device: torch.device) -> None:
        adversary = self._adversary(device)

        def server(grid: Grid) -> None:
            with one_thread():
                self._train(grid, adversary)
            if adversary is not None and self._on_cluster:
                adversary.finish()  # its tasks end with the simulation

        try:
            client_app = make_client_app(self._scenario.to_toml(), loaded_plugins())
            wait, engine = self._scenario.federation.timeout_s, self._engine
            engine = _named(engine, wait) if isinstance(engine, str) else engine
            engine(server, client_app, self._scenario.num_clients)
            if adversary is not None:
                adversary.finish()
        except BaseException:
            self._cut = True
            if adversary is not None:
                adversary.cancel()
            raise

    def _train(self, grid: Grid, adversary: Adversary | None) -> None:
        def attack(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload | Sum]) -> None:
            if adversary is not None:
                self._checkpointing.attacking(server_round)
                adversary.intercept(server_round, arrays, uploads)

        def on_uploads(server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload]) -> None:
            self._recorder.uploads(server_round, uploads)
            attack(server_round, arrays, uploads)

        def on_sum(server_round: int, arrays: ArrayRecord, total: Sum) -> None:
            self._recorder.uploads(server_round, total.uploads)
            self._recorder.total(server_round, total)
            if total.problem is None:
                attack(server_round, arrays, total.isolated or [total])

        result = federate(
            grid,
            self._scenario,
            self._site.model(self._site.architecture.state_dict()),
            self._site.dataset.test,
            on_uploads=on_uploads,
            on_round=self._recorder.accuracy,
            on_sum=on_sum,
            on_sent=self._recorder.sent,
            on_note=self._note,
            on_state=functools.partial(self._checkpointing.save, grid),
            sizes=[len(own) for own in self._site.partitions],
            start=self._checkpointing.start(grid),
            # Clients of other engines train in other processes meanwhile. Their states are not
            # here, so that a checkpoint is the same a little later.
            beside=self._engine != "inline",
        )
        self._log.save_tensors("final-model", tensors_of(result.arrays))

    def _adversary(self, device: torch.device) -> Adversary | None:
        plan = self._scenario.adversary
        if plan is None:
            return None
        listeners = Listeners(
            on_outcome=self._on_outcome,
            on_victims=self._observer.on_victims,
            on_progress=self._observer.on_progress,
            on_round_done=self._on_attacked,
            on_skipped=self._on_skipped,
        )
        architecture = self._site.architecture
        if plan.malicious is not None:
            inputs, _ = self._site.dataset.test.batch(np.arange(1))
            architecture = plan.malicious.architecture(architecture, tuple(inputs.shape[1:]))
        return Adversary(
            self._scenario,
            plan,
            architecture,
            self._site.dataset.test,
            listeners,
            device,
            max(1, self._cpus - 1),  # the training thread uses the other one
            at_once=self._cpus,
            sizes=[len(own) for own in self._site.partitions],
            assumed=Assumptions(self._site.loss.function()),
            finished=() if self._past is None else self._past.victims,
            solver=on_cluster if self._on_cluster else here,
            in_turns=self._engine == "inline" and self._cpus == 1,
        )

    def _on_attacked(self, server_round: int) -> None:
        """Record the end of a round's attacks, if none was cut; from the adversary's thread."""
        if not self._cut:
            self._recorder.attacked(server_round)
            self._checkpointing.attacked(server_round)
        self._observer.on_round_attacked(server_round)

    def _note(self, server_round: int | None, partition: int | None, text: str) -> None:
        self._recorder.note(NoteRecord(round=server_round, partition=partition, text=text))

    def _on_skipped(self, server_round: int, partitions: Sequence[int]) -> None:
        self._checkpointing.attacked(server_round)
        named = ", ".join(map(str, partitions[:MOST_NAMED]))
        clients = named if len(partitions) <= MOST_NAMED else f"{named}, ... ({len(partitions)})"
        self._note(
            server_round,
            None,
            f"the uploads of clients {clients} were not attacked: the adversary's queue was full "
            "(adversary.queue_mb), and adversary.queue_full = 'skip'",
        )

    def _on_outcome(self, outcome: Outcome) -> None:
        """Score one victim and record it; called from the adversary's thread."""
        scored = self._scorer.score(outcome)
        self._recorder.outcome(outcome, scored, self._scorer, cut=self._cut)


def _named(name: str, timeout_s: float) -> Engine:
    """Return the engine with a name; Ray is imported only if needed."""
    if name == "inline":
        from fedsim.engine.inline import run_inline  # noqa: PLC0415

        return run_inline
    if name == "ray":
        from fedsim.engine.ray import run_ray  # noqa: PLC0415

        return functools.partial(run_ray, timeout_s=timeout_s)
    raise RunError(f"unknown engine {name!r}: expected 'inline' or 'ray'")
