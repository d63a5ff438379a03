"""Scorer of reconstructions against the private batches, after the attacks have ended.

The truth never travels: it is drawn again here from the scenario's seed, the round and the
partition, in the same way as on the client.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fedsim.attacks import GradientMatching, TruthFit
from fedsim.clients.defenses import Check, Defense
from fedsim.clients.site import Site
from fedsim.core.errors import UploadError
from fedsim.core.modality import MODALITIES
from fedsim.core.modules import draws, normalises_by_batch
from fedsim.core.names import ADAPTIVE, NAIVE, NO_DEFENSE, Attacker
from fedsim.core.registry import COUNTERMEASURES, DEFENSES
from fedsim.data import IndexArray
from fedsim.log.schema import (
    ExampleScore,
    LeakageRecord,
    LogRecord,
    Meaning,
    Moment,
    Verdict,
)
from fedsim.scoring.conclusion import Circumstances, Conclusion, conclude
from fedsim.scoring.judge import Judge
from fedsim.scoring.types import Scored
from fedsim.server.control import control_indices
from fedsim.server.local_training import optimiser_of
from fedsim.server.orderly import draw_cohort
from fedsim.server.victims import Outcome, Victim

MOST_READ = 256
"""Victims whose private batches are kept for those who watch."""


class Scorer:
    """Scores the outcomes of one run.

    Args:
        site: the scenario with its data.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._read: dict[str, Tensor] = {}
        self._controls: dict[tuple[int, Attacker], bool] = {}
        self._used: dict[int, dict[int, set[int]]] = {}

    def recall(self, records: Sequence[LogRecord]) -> None:
        """Take note of the positive controls that were scored before.

        Args:
            records: the records with which an unfinished run goes on.
        """
        for r in records:
            if isinstance(r, LeakageRecord) and r.is_control:
                so_far = self._controls.get((r.round, r.attacker), True)
                leaked = r.score.meaning is Meaning.LEAKED
                self._controls[r.round, r.attacker] = so_far and leaked

    @cached_property
    def _judge(self) -> Judge:
        modality = MODALITIES.get(self._site.scenario.data.dataset.modality)
        judge: Judge = modality.part("judge")(self._site.dataset, self._site.architecture)
        return judge

    def truth(self, victim: Victim) -> tuple[Tensor, Tensor]:
        """Return the private batch behind a victim's upload: inputs and labels."""
        if victim.is_control:
            return self._site.dataset.test.batch(self._control(victim.server_round))
        clients = [self._site.different(p, victim.server_round) for p in victim.partitions]
        # Step by step, in the order of a single client with all these examples; each of them once.
        steps = itertools.zip_longest(*clients)
        batches = [batch for step in steps for batch in step if batch is not None]
        return self._site.dataset.train.join(batches)

    def read(self, victim: Victim, example: Tensor, position: int) -> tuple[object, object]:
        """Return a private example and a dummy example, in the form of the modality's view.

        Args:
            victim: the victim.
            example: the dummy example.
            position: index of the private example in the batch.
        """
        # By name: a victim would keep its gradient in memory.
        if victim.name not in self._read:
            if len(self._read) >= MOST_READ:
                self._read.clear()
            self._read[victim.name] = self.originals(victim)
        original = self._read[victim.name][position]
        return self._judge.shown(original, original), self._judge.shown(example, original)

    def emergence(self, outcome: Outcome, scored: Scored) -> dict[int, tuple[Moment, ...]]:
        """Return the snapshots of each example as tokens, from first to last.

        Empty for a modality without tokens, whose tensors can be displayed directly.
        """
        words, matching = self._judge.words, scored.matching
        moments: dict[int, tuple[Moment, ...]] = {}
        for score in scored.leakage:
            if scored.originals is None:
                return moments
            original = scored.originals[score.example]
            if words(original, original) is None:
                continue
            moments[score.example] = ()
            if matching is not None:
                row = int(matching[score.example])
                moments[score.example] = tuple(
                    (s.evaluation, tuple(words(s.data[row], original) or ()))
                    for s in outcome.reconstruction.history
                )
        return moments

    def originals(self, victim: Victim) -> Tensor:
        """Return the private part of the batch behind a victim's upload."""
        return self._judge.originals(*self.truth(victim))

    def score(self, outcome: Outcome) -> Scored:
        """Return the leakage of one victim.

        The positive control of a round is scored before its other victims, which are not called
        protected without it.
        """
        victim, found = outcome.victim, outcome.reconstruction
        if not all(self._site.knows(p, victim.server_round) for p in victim.partitions):
            return self._not_compared(outcome)
        inputs, labels = self.truth(victim)
        originals = self._judge.originals(inputs, labels)
        fit = None if found.data is None else _truth_fit(outcome, inputs, labels)
        circumstances = self._circumstances(victim)

        def conclusion(word: Verdict, below_guess: bool) -> Conclusion:
            return conclude(word, found, fit, circumstances, below_guess=below_guess)

        matching, leakage = self._judge.judge(
            found, originals, labels, self._own(victim), conclusion, outcome.prior
        )
        if victim.is_control:
            leaked = all(score.meaning is Meaning.LEAKED for score in leakage)
            self._controls[victim.server_round, victim.attacker] = leaked
        return Scored(originals, matching, fit, leakage)

    def _not_compared(self, outcome: Outcome) -> Scored:
        """Return the scores of a victim whose private batch is unknown, with a blind guess."""
        found, seen = outcome.reconstruction, outcome.victim.observation
        count = seen.batch_size if seen is not None else 1
        if found.data is not None:
            count = len(found.data)
        told = [None] * count if found.labels is None else found.labels.tolist()
        scores = tuple(
            ExampleScore.not_compared(i, label_found=label if isinstance(label, int) else None)
            for i, label in enumerate(told)
        )
        matching = None if found.data is None else torch.arange(count)
        return Scored(None, matching, None, scores, self._guess(outcome, count))

    def _guess(self, outcome: Outcome, count: int) -> Tensor | None:
        """Return the data of the attack's priors alone, or else the mean of public data."""
        if outcome.prior is not None:
            return outcome.prior
        samples = self._site.dataset.test.samples(MOST_READ)
        if samples is None:
            return None
        inputs, _ = samples
        return inputs.mean(dim=0, keepdim=True).expand(count, *inputs.shape[1:])

    def approximate(self, victim: Victim) -> bool:
        """Return whether the attack's equations are known to hold only approximately."""
        if isinstance(victim.attack, GradientMatching) and victim.attack.approximate:
            return True
        if not victim.is_control and (self._estimated or self._draws):
            return True
        several, attack = not victim.is_control and self._steps(victim) > 1, victim.attack
        if not victim.is_control and not self._is_linear:
            return True
        follows = isinstance(attack, GradientMatching) and self._unrolls(attack, victim)
        if victim.is_sum:  # after a first step each client has different weights
            return several or self._batch_statistics
        return several and (not follows or _order_unknown(victim))

    @cached_property
    def _draws(self) -> bool:
        """Whether dropout draws while clients train."""
        inputs, _ = self._site.dataset.test.batch(np.arange(min(2, len(self._site.dataset.test))))
        return draws(self._site.architecture, inputs)

    @staticmethod
    def _unrolls(attack: GradientMatching, victim: Victim) -> bool:
        if victim.observation is None or victim.observation.training is None:
            return attack.local_steps == "unroll"
        training = victim.observation.training
        return attack.steps_as(training, victim.observation.batch_size) == "unroll"

    def _steps(self, victim: Victim) -> int:
        """Return the largest number of local steps of a victim's clients."""
        federation, partitions = self._site.scenario.federation, self._site.partitions
        return max(federation.steps_of(len(partitions[p])) for p in victim.partitions)

    @property
    def _estimated(self) -> bool:
        """Whether a malicious server estimates a part of the uploads that it takes out of a sum."""
        plan = self._site.scenario.adversary
        return plan is not None and plan.malicious is not None and plan.malicious.estimates

    @cached_property
    def _is_linear(self) -> bool:
        """Whether an update is a sum of gradients; else its entries jump where one is zero."""
        federation = self._site.scenario.federation
        if federation.upload == "gradient":
            return True
        try:
            return optimiser_of(federation.optimizer).is_linear
        except UploadError:
            return False

    @cached_property
    def _batch_statistics(self) -> bool:
        """Whether the joint batch of several clients is normalised differently from theirs."""
        model = self._site.model(self._site.architecture.state_dict())
        return normalises_by_batch(model)

    @property
    def _adaptive(self) -> bool:
        """Whether the adversary knows the defenses."""
        plan = self._site.scenario.adversary
        return plan is not None and plan.adaptive

    def _circumstances(self, victim: Victim) -> Circumstances:
        scenario = self._site.scenario
        groups = {scenario.group_of(p).name: scenario.group_of(p) for p in victim.partitions}
        chain: list[Defense] = [d for group in groups.values() for d in group.defenses]
        described = [d for p in victim.partitions for d in scenario.describe_defenses(p)]
        names = {str(d["name"]) for d in described} - {NO_DEFENSE}
        names -= {DEFENSES.name_of(d) for d in chain if isinstance(d, Check)}  # changes no upload
        answered, model = set(COUNTERMEASURES.names()), str(scenario.describe_model()["name"])
        if victim.partitions and model in answered:  # a defense that is built into the model
            names.add(model)
        single = victim.is_control or self._steps(victim) == 1
        return Circumstances(
            undefended=not names and single and not victim.is_sum,
            naive=bool(names) and (victim.attacker == NAIVE or not self._adaptive),
            unanswered=bool(names - answered),
            not_trained_on=self._changes_pictures(victim, chain),
            approximate=self.approximate(victim),
            discrete=self._judge.discrete,
            relaxed=self._relaxed(victim),
            rounds_apart=self._recurs(victim),
            control=victim.is_control or self._control_leaked(victim),
        )

    def _control_leaked(self, victim: Victim) -> bool:
        """Return whether the victim's own attack, or the naive one, reconstructed the control.

        Adaptive attackers have a control of their own where theirs is another attack.
        """
        kind: Attacker = NAIVE if victim.attacker == NAIVE else ADAPTIVE
        naive = self._controls.get((victim.server_round, NAIVE), False)
        return self._controls.get((victim.server_round, kind), naive)

    def _changes_pictures(self, victim: Victim, chain: Sequence[Defense]) -> bool:
        """Return whether a client trains on other pictures than its private ones."""
        if victim.is_control:
            return False
        augments = bool(self._site.scenario.federation.augmentations)
        return augments or any(type(d).protect_batch is not Defense.protect_batch for d in chain)

    def _relaxed(self, victim: Victim) -> bool:
        """Return whether the attack searches for discrete data among points between them."""
        attack = victim.attack
        if not self._judge.discrete or not isinstance(attack, GradientMatching):
            return False
        return attack.space_type(self._site.architecture).relaxed

    def _recurs(self, victim: Victim) -> bool:
        """Return whether one of the examples is used in a round that the attacker leaves out."""
        combined = {victim.server_round, *victim.rounds}
        for partition in victim.partitions:
            uses = self._uses(partition)
            drawn = {i for r in combined for i in uses.get(r, ())}
            if any(drawn & used for r, used in uses.items() if r not in combined):
                return True
        return False

    def _uses(self, partition: int) -> dict[int, set[int]]:
        """Return the indices of a client's examples in each round in which it takes part."""
        if partition not in self._used:
            scenario = self._site.scenario
            plan, clients = scenario.federation, range(scenario.num_clients)
            self._used[partition] = {
                r: {i for step in self._site.drawn(partition, r) for i in step.tolist()}
                for r in range(1, plan.rounds + 1)
                if partition in draw_cohort(scenario.seed, r, clients, plan.fraction)
            }
        return self._used[partition]

    def _own(self, victim: Victim) -> Tensor:
        """Return the indices of the control's public data, which would be their own nearest."""
        if not victim.is_control:
            return torch.zeros(0, dtype=torch.long)
        return torch.from_numpy(self._control(victim.server_round))

    def _control(self, server_round: int) -> IndexArray:
        scenario = self._site.scenario
        return control_indices(
            self._site.dataset.test,
            scenario.federation.batch_size,
            seed=scenario.seed,
            server_round=server_round,
        )


def _truth_fit(outcome: Outcome, originals: Tensor, labels: Tensor) -> TruthFit | None:
    victim = outcome.victim
    if victim.observation is None:
        return None
    return victim.attack.truth_fit(outcome.model, victim.observation, originals, labels)


def _order_unknown(victim: Victim) -> bool:
    """Return whether the steps use examples again, in an order that the attack has to guess."""
    seen = victim.observation
    return seen is not None and seen.training is not None and seen.training.reuses(seen.batch_size)
