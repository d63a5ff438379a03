"""Attacks that do as they are told, and adversaries that use them."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from flwr.app import ArrayRecord
from torch import Tensor, nn

from fedsim.attacks import Attack, Observation, Progress, Reconstruction
from fedsim.attacks.types import OnProgress, ShouldStop, Status
from fedsim.clients.site import site_of
from fedsim.scenario import Scenario
from fedsim.server.adversary import Adversary
from fedsim.server.federation import upload_shapes
from fedsim.server.uploads import Upload, read_upload
from fedsim.server.victims import Listeners, Outcome, Victim
from tests.server.wire import client_reply, global_weights

WAIT_S = 20.0
"""How long a test waits for another thread before it fails."""


@dataclass(frozen=True)
class Call:
    """One batch that an attack was given."""

    model: nn.Module
    observations: list[Observation]
    seed: int


@dataclass(frozen=True, eq=False)
class Stub(Attack):
    """Returns grey pictures at once, and remembers what it was given."""

    calls: list[Call] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def _reconstruct(
        self,
        model: nn.Module,
        observations: dict[int, Observation],
        *,
        seed: int,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> dict[int, Reconstruction]:
        self.calls.append(Call(model, list(observations.values()), seed))
        self.threads.append(torch.get_num_threads())
        self.work(on_progress, should_stop)
        return {i: grey(o) for i, o in observations.items()}

    def work(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        """Do what takes an attack its time."""


@dataclass(frozen=True, eq=False)
class Failing(Stub):
    """Raises."""

    def work(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        """Raise."""
        raise ArithmeticError("diverged")


@dataclass(frozen=True, eq=False)
class Waiting(Stub):
    """Works until it is released, or until it is told to stop if ``stoppable``."""

    stoppable: bool = True
    started: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def work(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        """Wait."""
        self.started.set()
        while not self.released.wait(0.01):
            if self.stoppable and should_stop():
                self.stopped.set()
                return


@dataclass(frozen=True, eq=False)
class Telling(Stub):
    """Tells of its progress until it is told to stop, ten times at most."""

    def work(self, on_progress: OnProgress, should_stop: ShouldStop) -> None:
        """Tell."""
        for evaluation in range(1, 11):
            if should_stop():
                return
            on_progress(Progress(torch.tensor([0]), evaluation, 10, torch.ones(1), pictures))


def pictures() -> Tensor:
    """Return no pictures."""
    return torch.zeros(0)


def grey(observation: Observation) -> Reconstruction:
    """Return a grey batch as the reconstruction of an observation."""
    shape = (observation.batch_size, *observation.input_shape)
    labels = torch.zeros(observation.batch_size, dtype=torch.int64)
    return Reconstruction(torch.full(shape, 0.5), labels, 1.0, 1.0, Status.EXHAUSTED, 1)


@dataclass
class Heard:
    """What an adversary told its listeners."""

    outcomes: list[Outcome] = field(default_factory=list)
    victims: list[list[Victim]] = field(default_factory=list)
    progress: list[tuple[Sequence[Victim], Progress]] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    def listeners(self) -> Listeners:
        """Return listeners that write everything down here."""
        return Listeners(
            on_outcome=self.outcomes.append,
            on_victims=lambda victims: self.victims.append(list(victims)),
            on_progress=lambda victims, progress: self.progress.append((victims, progress)),
            on_round_done=self.rounds.append,
        )

    def names(self, server_round: int) -> list[str]:
        """Return the names of a round's victims, sorted."""
        found = [o.victim for o in self.outcomes if o.victim.server_round == server_round]
        return sorted(v.name for v in found)


def adversary(
    scenario: Scenario,
    listeners: Listeners,
    attack: Attack | None = None,
    threads: int = 1,
    at_once: int = 1,
    *,
    in_turns: bool = False,
) -> Adversary:
    """Return the adversary of a scenario, with its own attack or another one."""
    site, plan = site_of(scenario.to_toml()), scenario.adversary
    assert plan is not None
    if attack is not None:
        plan = plan.model_copy(update={"attack": attack})
    cpu = torch.device("cpu")
    known = (site.architecture, site.dataset.test)
    sizes = [len(own) for own in site.partitions]
    return Adversary(
        scenario,
        plan,
        *known,
        listeners,
        cpu,
        threads,
        at_once=at_once,
        sizes=sizes,
        in_turns=in_turns,
    )


def uploads_of(scenario: Scenario, server_round: int = 1) -> list[Upload]:
    """Return what all clients of a scenario upload in answer to the first global model."""
    shapes = upload_shapes(scenario, site_of(scenario.to_toml()).architecture)
    return [
        read_upload(client_reply(scenario, p, server_round), p, shapes)
        for p in range(scenario.num_clients)
    ]


def run_rounds(
    scenario: Scenario, rounds: int = 1, attack: Attack | None = None, at_once: int = 1
) -> Heard:
    """Let the adversary attack the clients in some rounds, and return what it told."""
    heard = Heard()
    attacker = adversary(scenario, heard.listeners(), attack, at_once=at_once)
    for server_round in range(1, rounds + 1):
        arrays = ArrayRecord(global_weights(scenario))
        attacker.intercept(server_round, arrays, uploads_of(scenario, server_round))
    attacker.finish()
    return heard
