"""Attack on public examples in one setting."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from fedsim.clients.training import Batch, gradient, local_training
from fedsim.core.errors import FedsimError
from fedsim.core.randomness import global_randomness
from fedsim.data.augmentations import Augmentation, augmented
from fedsim.engine.audit.opened import OpenFolder
from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.audit.replays import computing
from fedsim.engine.ladder.settings import Setting
from fedsim.engine.ladder.simplify import ACTIVATIONS, POOLINGS, replaced
from fedsim.engine.observer import Observer
from fedsim.log.ladder import Found
from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, Meaning, ReconstructionRecord
from fedsim.log.writer import RunLog
from fedsim.server.uploads import Upload

ROUND = 1
LADDER = "a ladder"


@dataclass(frozen=True, eq=False)
class Bench:
    """All that the settings of a ladder share.

    Attributes:
        plan: the setting that is run; its public examples serve control and blind guesses alone.
        inputs: public examples that are attacked, ``(N, C, H, W)`` in [0, 1].
        targets: their labels.
    """

    plan: AuditPlan
    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def try_out(self, setting: Setting, folder: Path, limit_s: float) -> Found:
        """Train on public examples in a setting, attack the upload, and write a run folder.

        The examples serve as the truth, for scoring alone. Errors are part of the outcome.

        Args:
            setting: the setting.
            folder: the run folder, new or empty.
            limit_s: time limit in seconds, of the attacks on the victim and on the control, which
                takes one step.

        Raises:
            KeyboardInterrupt: the user stopped the ladder.
        """
        began = time.monotonic()
        try:
            model = self.model(setting)
            plan = self._planned(setting, model, limit_s)
            sent = {k: v.clone() for k, v in model.state_dict().items()}
            upload = self._upload(setting, model, plan)
            _attack(plan, sent, upload, folder)
            found = outcome(Run.read(folder))
        except (FedsimError, RuntimeError, ValueError, TypeError, IndexError) as error:
            first = (str(error).splitlines() or [""])[0]
            reason = f"{type(error).__name__}: {first}"
            count = setting.examples
            found = Found(examples=count, meanings={Meaning.UNSCORED: count}, error=reason)
        return found.model_copy(update={"seconds": time.monotonic() - began})

    def model(self, setting: Setting) -> nn.Module:
        """Return a copy of the model in a setting."""
        model = copy.deepcopy(self.plan.architecture).train(setting.training)
        changes = [ACTIVATIONS] if setting.activation is None else []
        changes += [POOLINGS] if setting.pooling is None else []
        return replaced(model, *changes) if changes else model

    def entered(self, inputs: Tensor) -> Tensor:
        """Return examples in [0, 1] as the model takes them, ``(N, C, H, W)``."""
        return self.plan.assumed.scale(tuple(inputs.shape[1:])).on(inputs).to_input(inputs)

    def _planned(self, setting: Setting, model: nn.Module, limit_s: float) -> AuditPlan:
        taken = slice(setting.examples)
        inputs = self.entered(self.inputs[taken]).reshape(-1, *self.plan.input_shape)
        targets = self.targets[taken]
        return replace(
            self.plan,
            architecture=copy.deepcopy(model),
            uploads="gradients" if setting.uploads == "gradients" else "weights",
            batch_size=setting.batch_size,
            local_steps=setting.local_steps,
            local_epochs=setting.local_epochs,
            optimizer=setting.optimizer,
            details=setting.details,
            truth=lambda partition, server_round: (inputs, targets),
            defenses=(),
            rounds=(ROUND,),
            clients=1,
            time_limit_s=limit_s * setting.steps / (setting.steps + 1),
        )

    def _upload(self, setting: Setting, model: nn.Module, plan: AuditPlan) -> Upload:
        federation = plan.scenario(LADDER, ROUND, 1).federation
        batches = list(self._batches(setting, federation.augmentations))
        compute = computing(plan.assumed.loss, plan.outputs)
        with global_randomness(plan.seed):  # of dropout
            if setting.uploads == "gradients":
                trained = gradient(model, batches[0], compute)
            else:
                trained = local_training(
                    model,
                    batches,
                    federation.learning_rate,
                    compute,
                    optimizer=federation.optimizer,
                    factors=federation.rate_factors(ROUND, setting.examples),
                    proximal_mu=federation.proximal_mu,
                    max_grad_norm=federation.max_grad_norm,
                )
        size = sum(t.numel() * t.element_size() for t in trained.arrays.values())
        metrics = {"upload-bytes": float(size), "num-examples": float(setting.examples)}
        return Upload(0, trained.arrays, metrics)

    def _batches(self, setting: Setting, augmentations: Sequence[Augmentation]) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self.plan.seed)
        inputs = self.inputs[: setting.examples]
        targets = self.targets[: setting.examples]
        for epoch in range(setting.local_epochs or 1):
            order = torch.arange(len(inputs))
            if epoch:
                order = torch.randperm(len(inputs), generator=generator)
            for rows in torch.split(order, setting.batch_size):
                taken = augmented(augmentations, inputs[rows], generator)
                yield self.entered(taken), targets[rows]


def _attack(plan: AuditPlan, sent: Mapping[str, Tensor], upload: Upload, folder: Path) -> None:
    """Attack an upload and write a run folder."""
    log, began = RunLog(folder), time.monotonic()
    try:
        opened = OpenFolder(
            plan,
            log,
            Observer(),
            lambda text, server_round, partition: None,
            strategy=LADDER,
            rounds=ROUND,
            nodes={0: 0},
            uploads=[upload],
            sent=sent,
        )
        opened.attack(ROUND, sent, [upload])
        opened.recorder.end("finished", None, time.monotonic() - began)
    finally:
        log.close()


def outcome(run: Run) -> Found:
    """Return the outcome of a run with one client.

    An example that the records call protected counts as one at which the attack failed: nothing is
    defended here.
    """
    summary = run.summary
    own = [r.score for r in run.of_kind(LeakageRecord) if not r.is_control]
    [result] = [r for r in run.of_kind(ReconstructionRecord) if not r.is_control]
    meanings: dict[Meaning, int] = {}
    for score in own:
        meaning = score.meaning
        meaning = Meaning.ATTACK_FAILED if meaning is Meaning.PROTECTED else meaning
        meanings[meaning] = meanings.get(meaning, 0) + 1
    scored = [(figure, s) for s in own if (figure := s.figure(summary.measure)) is not None]
    figures = [figure for figure, _ in scored]
    doubts = dict.fromkeys(doubt.reason for s in own for doubt in s.doubts)
    return Found(
        examples=len(own),
        meanings=meanings,
        best=max(figures, default=None),
        median=statistics.median(figures) if figures else None,
        blind=statistics.median(s.blind(summary.measure) for _, s in scored) if scored else None,
        objective=result.objective,
        truth=result.truth_objective,
        explained=result.explained,
        control=None if summary.control is None else not summary.control_failed,
        status=result.status,
        doubts=tuple(doubts),
        evaluations=result.evaluations,
        error=result.error,
    )
