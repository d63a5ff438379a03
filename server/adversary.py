"""The adversary: selects victims and attacks them together, without affecting training.

It runs in a separate thread. Training continues meanwhile, and failures of attacks never affect the
training: a failed attack is recorded as an outcome.
"""

from __future__ import annotations

import copy
import functools
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import torch
from flwr.app import ArrayRecord
from torch import Tensor, nn

from fedsim.attacks import Assumptions, Progress, Reconstruction
from fedsim.attacks.adaptive import Known
from fedsim.attacks.matching.priors.learned import trained_by
from fedsim.core.arrays import tensors_of
from fedsim.core.errors import FedsimError
from fedsim.core.names import ADAPTIVE, NAIVE
from fedsim.core.seeds import derive
from fedsim.data import Examples
from fedsim.scenario import AdversaryPlan, Scenario
from fedsim.server.adapting import Adapting, informed
from fedsim.server.choosing import Choosing
from fedsim.server.control import adaptive_control, control_indices, control_observation
from fedsim.server.filming import Filming
from fedsim.server.observing import Observing
from fedsim.server.priors import PriorsAlone
from fedsim.server.processes import call, prepare
from fedsim.server.rounds import RoundsTogether
from fedsim.server.side_by_side import SideBySide, use_threads
from fedsim.server.solving import Solver, begin, here
from fedsim.server.uploads import Sum, Upload
from fedsim.server.victims import Listeners, Outcome, Victim, alike
from fedsim.server.waiting import BoundedQueue

LAST_WORDS_S = 60.0
"""Maximum time in which a cancelled adversary returns its current results."""

_Uploads = list[Upload | Sum]

_Job = tuple[int, Mapping[str, Tensor], _Uploads, _Uploads]
"""A round, the global model's tensors, the uploads to attack, and those to follow over rounds."""


class Adversary:
    """Attacks the uploads of a run.

    It knows the scenario's federation (batch size, local steps, learning rate), the model's
    architecture, public images, and, if it is adaptive, each client's defenses. It never knows
    labels, or anything computed from private data except the uploads.

    Args:
        scenario: the scenario; its adversary section is the plan.
        plan: the adversary section of the scenario.
        architecture: the model, with any weights, in the clients' mode.
        public: public examples, for the positive control and for learned priors of adaptive
            attackers.
        listeners: callbacks for all events.
        device: device of the attacks.
        threads: number of threads for attacks. The training thread should use only one: if there
            are more threads than CPUs, libgomp lets the workers sleep between any two operations,
            which made attacks three times slower.
        at_once: maximum number of attacks of a round at once on the CPU, in processes which share
            the threads. A search on one thread leaves the other CPUs idle, and hardly gains by a
            second thread.
        sizes: number of examples of each client, which is public.
        assumed: the clients' loss and normalisation as assumed by the server.
        control_apart: whether the positive control is attacked before the others, with a time limit
            of its own, instead of together with them.
        finished: names of victims whose outcomes are known from before; they are not attacked.
        solver: where attacks are computed; by default in the adversary's thread.
        in_turns: whether the training waits for the attacks on each round. On a single CPU the two
            threads would only take turns at Python's lock, which costs a third of both.
    """

    def __init__(  # noqa: PLR0913  (each is one thing that it knows)
        self,
        scenario: Scenario,
        plan: AdversaryPlan,
        architecture: nn.Module,
        public: Examples,
        listeners: Listeners,
        device: torch.device,
        threads: int = 1,
        *,
        at_once: int = 1,
        sizes: Sequence[int] = (),
        assumed: Assumptions | None = None,
        control_apart: bool = False,
        finished: Collection[str] = (),
        solver: Solver = here,
        in_turns: bool = False,
    ) -> None:
        self._in_turns = in_turns
        self._threads, self._at_once = threads, at_once
        self._in_processes = solver is here and device.type == "cpu" and at_once > 1
        self._scenario, self._plan = scenario, plan
        self._architecture, self._public = architecture, public
        self._attack = informed(plan.attack, public)
        rate = plan.learning_rate or scenario.federation.learning_rate
        self._assumed, self._control_apart = assumed or Assumptions(), control_apart
        self._observing = Observing(scenario.federation, architecture, public, rate, self._assumed)
        self._adapting = Adapting(
            scenario,
            self._attack,
            public,
            self._unit,
            device,
            sizes,
        )
        self._listeners, self._device = listeners, device
        self._finished, self._solver = frozenset(finished), solver
        self._cancelled, self._done = threading.Event(), threading.Event()
        self._telling = threading.Lock()
        self._jobs: BoundedQueue[_Job] = BoundedQueue(plan.queue_mb * 1e6)
        self._choosing = Choosing(scenario, plan)
        self._film = Filming(plan.film, derive(scenario.seed, "film"))
        self._priors = PriorsAlone(derive(scenario.seed, "prior"))
        self._together = RoundsTogether(
            plan, scenario.federation, architecture, sizes, self._adapting, device
        )
        self._error: BaseException | None = None
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._work, name="adversary", daemon=True)
        self._thread.start()

    def _unit(self, examples: int) -> float:
        """Return the units of an observation's gradient per unit of an upload in this round."""
        return self._observing.unit(examples)

    def intercept(
        self, server_round: int, arrays: ArrayRecord, uploads: Sequence[Upload | Sum]
    ) -> None:
        """Queue a round's uploads, or only their sum.

        It returns at once, unless the queue is full and the plan says to wait.
        """
        attacks, follows = self._plan.attacks(server_round), self._together.follows(server_round)
        if attacks or follows:
            # Decoded here: NumPy parses the arrays' headers with Python's ast, which in 3.11 fails
            # if two threads use it at once.
            received = tensors_of(arrays)
            chosen = self._choosing.chosen(server_round, uploads) if attacks else []
            followed = self._choosing.followed(uploads) if follows else []
            self._queue((server_round, received, chosen, followed))
        if self._in_turns:
            self._jobs.wait_until_done(self._done.is_set)

    def _queue(self, job: _Job) -> None:
        """Add a job; if there is no room for it, wait or skip its victims, as the plan says."""
        server_round, received, chosen, followed = job
        tensors = [received, *(u.arrays for u in {id(u): u for u in chosen + followed}.values())]
        size = sum(t.numel() * t.element_size() for each in tensors for t in each.values())
        if self._plan.queue_full == "skip" and not self._jobs.fits(size):
            self._listeners.on_skipped(server_round, [p for u in chosen for p in u.partitions])
            return
        self._jobs.put(job, size, lambda: self._cancelled.is_set() or self._done.is_set())

    def finish(self) -> None:
        """Wait until every attack has ended.

        Raises:
            Exception: re-raised from a callback. Attack failures never propagate.
        """
        self._jobs.end()
        # No join before this: in Python before 3.13 an interrupted join treats the thread as ended.
        while not self._done.wait(timeout=0.2):
            pass
        self._thread.join()
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """End running attacks with their current results, and start no others."""
        self._cancelled.set()
        self._jobs.end()
        if self._done.wait(timeout=LAST_WORDS_S):
            self._thread.join()

    def _work(self) -> None:
        use_threads(self._threads)
        if self._in_processes:
            trained_by.set(functools.partial(call, self._threads))
        try:
            while not self._cancelled.is_set() and (job := self._jobs.get()) is not None:
                self._attack_round(*job)
        except BaseException as error:
            self._error = error
            self._cancelled.set()  # for the attacks that run beside the one that was told
        finally:
            self._done.set()

    def _attack_round(
        self,
        server_round: int,
        received: Mapping[str, Tensor],
        uploads: _Uploads,
        followed: _Uploads,
    ) -> None:
        self._observing = replace(self._observing, server_round=server_round)
        if self._in_processes and self._plan.adaptive:
            prepare(self._at_once)
        model = copy.deepcopy(self._architecture)
        model.load_state_dict(received)
        # In the model's precision: strategies may send the weights in another one.
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        model.train(self._architecture.training).to(self._device)
        control = self._control(server_round, model)
        observed = [
            (upload, self._naive(server_round, upload, weights))
            for upload in [*uploads, *(u for u in followed if u not in uploads)]
        ]
        naive = [control, *(victim for upload, victim in observed if upload in uploads)]
        begun: list[Callable[[], None]] = []
        attacks = self._plan.attacks(server_round)
        kinds = [u.partitions for u in uploads] if self._plan.adaptive else []
        solver = self._solver_of(1 + self._adapting.kinds(kinds)) if attacks else self._solver
        if attacks:
            begun += self._begin_all(naive, model, solver)
        # Meanwhile priors are learned.
        known = self._known(model, control)
        adaptive: list[Victim] = []
        seen: list[Victim] = []
        for upload, victim in observed:
            # Of a single upload that is not attacked on its own, the observation is enough.
            knows = known if upload in uploads or isinstance(upload, Sum) else None
            found = self._adaptive(victim, knows)
            adaptive += found if upload in uploads else []
            seen += [victim, *found] if upload in followed else []
        adaptive = [*adaptive_control(control, adaptive, self._attack), *adaptive]
        joint = self._together.after(server_round, seen, weights, known)
        if not attacks:
            return
        begun += self._begin_all(adaptive, model, solver, [victim for victim, _ in joint])
        for victim in (v for v in [*naive, *adaptive] if v.name not in self._finished):
            self._priors.begin(victim, model, solver, self._is_late)  # behind the attacks
        for end in begun:
            end()
        self._restart_the_clock()
        for victim, models in joint:
            self._begin([victim], models)()
        self._listeners.on_round_done(server_round)

    def _begin_all(
        self,
        victims: Sequence[Victim],
        model: nn.Module,
        solver: Solver,
        later: Sequence[Victim] = (),
    ) -> list[Callable[[], None]]:
        """Tell of victims, and begin the attacks on them, those that are alike together.

        Args:
            victims: the victims.
            model: the global model.
            solver: where the attacks are computed.
            later: other victims to tell of.

        Returns:
            For each attack, a function that waits for its end and tells it.
        """
        if victims or later:
            self._listeners.on_victims([*victims, *later])
        self._restart_the_clock()
        if self._control_apart:
            for group in alike([v for v in victims if v.is_control]):
                self._begin(group, model)()
            victims = [v for v in victims if not v.is_control]
            self._restart_the_clock()
        return [self._begin(group, model, solver) for group in alike(victims)]

    def _restart_the_clock(self) -> None:
        self._deadline = time.monotonic() + self._plan.time_limit_s

    def _should_stop(self) -> bool:
        return self._cancelled.is_set() or time.monotonic() > self._deadline

    def _is_late(self) -> bool:
        """Return whether to stop baselines, which have as much time again as the attacks."""
        latest = self._deadline + self._plan.time_limit_s
        return self._cancelled.is_set() or time.monotonic() > latest

    def _solver_of(self, attacks: int) -> Solver:
        """Return the solver for a number of attacks: on a CPU, several run at once."""
        most = min(attacks, self._at_once)
        if not self._in_processes or most < 2:
            return self._solver
        prepare(most, wait=True)
        return SideBySide(most, max(1, self._threads // most))

    def _begin(
        self, victims: Sequence[Victim], model: nn.Module, solver: Solver | None = None
    ) -> Callable[[], None]:
        """Begin the attack on victims; return a function that waits for its end and tells it."""
        # The others of a batch are attacked again with it: the starts are drawn for all of them.
        if all(v.name in self._finished for v in victims):
            return lambda: None

        ready = [v for v in victims if v.observation is not None]
        seed = derive(self._scenario.seed, "attack", victims[0].server_round)
        told, stop = self._on_progress, self._should_stop
        solved = begin(solver or self._solver, ready, model, seed, told, stop)

        def end() -> None:
            reconstructions, seconds = solved()
            found = iter(reconstructions)
            for victim in victims:
                if victim.observation is None:
                    reconstruction = Reconstruction.failed(victim.problem or "no observation")
                else:
                    reconstruction = next(found)
                if victim.name not in self._finished:
                    self._tell(victim, reconstruction, model, seconds)

        return end

    def _on_progress(self, victims: Sequence[Victim], progress: Progress) -> None:
        with self._telling:
            self._listeners.on_progress(victims, progress)

    def _tell(
        self, victim: Victim, reconstruction: Reconstruction, model: nn.Module, seconds: float
    ) -> None:
        """Tell the outcome of an attack, with what is made beside it.

        The time of that is given back to the attacks that are still to come.
        """
        began, stop = time.monotonic(), self._should_stop
        prior = self._priors.alone(victim, model, self._solver, self._is_late)
        film = self._film.films(victim, reconstruction)
        if film:
            told = self._on_progress
            reconstruction = self._film.filmed(victim, reconstruction, model, told, stop)
        self._deadline += time.monotonic() - began
        self._listeners.on_outcome(Outcome(victim, reconstruction, model, seconds, prior, film))

    def _control(self, server_round: int, model: nn.Module) -> Victim:
        size = self._scenario.federation.batch_size
        indices = control_indices(
            self._public, size, seed=self._scenario.seed, server_round=server_round
        )
        reads = self._observing.reads_statistics
        observation = control_observation(
            model, self._public, indices, reads_statistics=reads, assumed=self._assumed
        )
        return Victim(server_round, (), NAIVE, self._attack, observation)

    def _known(self, model: nn.Module, control: Victim) -> Known | None:
        """Return the adaptive attacker's knowledge in a round, or None if there is none."""
        if not self._plan.adaptive or control.observation is None:
            return None
        known = self._adapting.known(model, control.observation.gradient)
        return replace(known, uploads=1) if control.server_round == 1 else known

    def _naive(
        self, server_round: int, upload: Upload | Sum, weights: Mapping[str, Tensor]
    ) -> Victim:
        """Return the naive attacker's victim of an upload."""
        observation, problem = None, upload.problem
        if problem is None:
            try:
                observation = self._observing.observe(upload, weights)
            except FedsimError as error:
                problem = str(error)
        return Victim(server_round, upload.partitions, NAIVE, self._attack, observation, problem)

    def _adaptive(self, naive: Victim, known: Known | None) -> list[Victim]:
        """Return the adaptive attacker's victim of an upload, if there is such an attacker."""
        if known is None:
            return []
        adaptive = replace(naive, attacker=ADAPTIVE)
        try:
            adapted = self._adapting.adapted(naive.partitions, known)
        except Exception as error:  # from a third-party countermeasure: it must not affect training
            reason = f"{type(error).__name__}: {error}"
            return [replace(adaptive, observation=None, problem=naive.problem or reason)]
        return [] if adapted is None else [replace(adaptive, attack=adapted)]
