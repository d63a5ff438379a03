"""The loop of gradient matching, from the random starts to the reconstructions.

For each victim, several trials; for each trial: start from a dummy batch, compute the upload that
it would give, measure its distance from the shared one, add priors, take a step of the optimiser,
project; stop when it has converged. All trials of all victims run as one batch of lanes, of which
`Minimisation` runs as many at once as fit the memory. The trial of the lowest objective is the
victim's reconstruction.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fedsim.attacks.matching.hooks import MatchingHooks
from fedsim.attacks.matching.optimisers import Ended, Minimisation
from fedsim.attacks.matching.problem import Problem
from fedsim.attacks.matching.snapshots import Emergence
from fedsim.attacks.matching.trials import RunningLanes, Trials
from fedsim.attacks.types import (
    OnProgress,
    Progress,
    Reconstruction,
    ShouldStop,
    Snapshot,
    Status,
)

EXPLAINS = 1e-3
"""Relative objective up to which a solution explains the upload. Beyond it, as under noise, a
solution outside the range of the data is as good as one inside."""


def match_gradients(
    problem: Problem,
    trials: Trials,
    on_progress: OnProgress,
    should_stop: ShouldStop,
    *,
    attack: MatchingHooks | None = None,
) -> dict[int, Reconstruction]:
    """Run all trials on all victims, and return each victim's best by objective.

    Args:
        problem: the victims and their objective.
        trials: their starts and labels.
        on_progress: called after each evaluation.
        should_stop: asked before each evaluation.
        attack: the problem's, or one of another budget and optimiser.
    """
    attack = attack or problem.attack
    best: dict[int, Reconstruction] = {}

    def data_of(points: Tensor, lanes: Tensor) -> Tensor:
        return problem.decode(points, trials.victims(lanes)).cpu()

    emergence = Emergence(data_of, attack.evaluations)

    def observe(evaluation: int, lanes: Tensor, points: Tensor, values: Tensor) -> None:
        emergence.look(evaluation, lanes, points, values)
        on_progress(
            Progress(
                victims=torch.tensor(trials.victims(lanes)),
                evaluation=evaluation,
                max_evaluations=attack.evaluations,
                objective=values.cpu(),
                data=lambda: data_of(points, lanes),
            )
        )

    def on_end(ended: Ended) -> None:
        victim = trials.victim(ended.lane)
        outcome = _outcome(problem, trials, ended, emergence.take(ended.lane))
        if victim not in best or _better(outcome, best[victim]):
            best[victim] = outcome

    Minimisation(
        evaluate=RunningLanes(problem, trials).evaluate,
        start=trials.start,
        count=trials.count,
        optimiser=attack.optimiser(),
        max_evaluations=attack.evaluations,
        on_end=on_end,
        capacity=problem.room,
        siblings=attack.trials,
        patience=attack.patience,
        tolerance=attack.tolerance,
        project=problem.project,
        observe=observe,
        should_stop=should_stop,
    ).run()
    unbegun = Reconstruction.failed("stopped before the first evaluation")
    return {victim: best.get(victim, unbegun) for victim in problem.victims}


def _outcome(
    problem: Problem, trials: Trials, ended: Ended, history: list[Snapshot]
) -> Reconstruction:
    """Return the reconstruction of one trial: its data, and their objective."""
    if ended.status is Status.FAILED:
        return Reconstruction.failed("the objective was not finite at the start")
    if ended.evaluations == 0:
        return Reconstruction.failed("stopped before the first evaluation")
    against = trials.against(ended.lane)
    scale = float(problem.scale({k: g[None] for k, g in against.shared.items()}))
    data = problem.decode(ended.point[None], [trials.victim(ended.lane)])[0].cpu()
    value, status = _of_returned(problem, trials, ended)
    labels, targets = trials.labels(ended.lane), None
    if problem.joint:
        logits = ended.point[problem.space.size :][: problem.logits]
        targets = problem.target_of(logits).cpu()
        labels = logits.view_as(targets).argmax(-1) if problem.of_classes else targets
    earlier = (
        replace(s, objective=s.objective * scale)
        for s in history
        if s.evaluation < ended.evaluations
    )
    return Reconstruction(
        data=data,
        labels=None if problem.space.labelled or labels is None else labels.cpu(),
        objective=value * scale,
        relative_objective=value,
        status=status,
        evaluations=ended.evaluations,
        trial=ended.lane % problem.attack.trials,
        history=(*earlier, Snapshot(ended.evaluations, value * scale, data)),
        point=ended.point.detach().cpu(),
        targets=targets,
    )


def _of_returned(problem: Problem, trials: Trials, ended: Ended) -> tuple[float, Status]:
    """Return the relative objective to report, and the status that fits it.

    Data are returned inside their range. Where the solution explains the upload from outside of
    it and the returned data do not, the objective is theirs.
    """
    if ended.value > EXPLAINS:
        return ended.value, ended.status
    inside = problem.project(ended.point[None])
    value = float(problem.values(inside, trials.against(ended.lane))[0])
    if value <= EXPLAINS:
        return ended.value, ended.status
    return value, Status.CLAMPED if ended.status is Status.CONVERGED else ended.status


def _better(one: Reconstruction, other: Reconstruction) -> bool:
    """Compare by the attack's own objective; a failed trial loses to any other."""
    if one.status is Status.FAILED or other.status is Status.FAILED:
        return other.status is Status.FAILED
    return (one.objective, one.trial) < (other.objective, other.trial)
