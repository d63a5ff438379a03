"""Comparison to run next, in figures: rounds, victims, seeds and time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fedsim.log.results import Result
from fedsim.scenario.comparison import Comparison
from fedsim.show.comparison.bound import needed
from fedsim.show.headline import duration

LEAST_STEPS = 30
"""Minimum of local steps in all rounds for a model to learn more than next to nothing."""

_ENOUGH_ROUNDS = 200
_MORE = 10
"""Minimum number of rounds to propose, and its ratio to a number that taught too little."""

_LEAST_SEEDS = 3


def too_few_rounds(comparison: Comparison) -> str | None:
    """Return a warning if the rounds of a comparison of defenses can hardly teach its model.

    Args:
        comparison: the comparison, before it is run.
    """
    if not any(entry.defenses for entry in comparison.grid):
        return None
    federation = [cell.scenario.federation for cell in comparison.runs]
    if any(f.local_epochs is not None for f in federation):
        return None
    rounds = min(f.rounds for f in federation)
    steps = min(f.rounds * f.local_steps for f in federation)
    if steps >= LEAST_STEPS:
        return None
    return (
        f"{rounds} {'round' if rounds == 1 else 'rounds'} with {steps} local "
        f"{'step' if steps == 1 else 'steps'} in all can hardly teach the model anything: its "
        "accuracy will be about a guess's, and the cost of a defense will not be known. To measure "
        f"it, set scenario.federation.rounds to {_ENOUGH_ROUNDS} or more; leakage is measured "
        "all the same."
    )


def next_run(
    comparison: Comparison, candidates: Sequence[Result], *, learnt: bool, tried: int = 1
) -> str:
    """Return the settings with which defenses without a leak can be shown to protect.

    Args:
        comparison: the comparison that was run.
        candidates: results of the defenses to compare next, at least one.
        learnt: whether the model has learnt enough in its rounds.
        tried: number of defenses that the next comparison tries, for the bound.
    """
    settings = []
    rounds = _rounds(comparison)
    factor = 1.0
    if not learnt and rounds is not None:
        wanted = max(_ENOUGH_ROUNDS, _MORE * rounds)
        factor = wanted / rounds
        settings.append(f"scenario.federation.rounds = {wanted}")
    batches = needed(tried)
    seeds = max(_LEAST_SEEDS, math.ceil(batches / comparison.clients), len(comparison.seeds))
    victims = min(comparison.clients, math.ceil(batches / seeds))
    settings += [f"victims = {victims}", f"{seeds} seeds"]
    seconds = _seconds(comparison, candidates, factor, victims) * seeds
    return f"{', '.join(settings)}: about {duration(seconds)} here, one run at a time"


def _rounds(comparison: Comparison) -> int | None:
    federation: Any = comparison.scenario.get("federation")
    rounds = federation.get("rounds") if isinstance(federation, dict) else None
    return rounds if isinstance(rounds, int) else None


def _seconds(
    comparison: Comparison, candidates: Sequence[Result], factor: float, victims: int
) -> float:
    """Return the expected time of one seed: training grows with rounds, attacks with victims."""
    total = 0.0
    for each in candidates:
        run = each.run_seconds or 0.0
        attacks = (1 + comparison.adaptive) * len(comparison.stages) * comparison.victims
        attacked = min(run, attacks * (each.attack_seconds or 0.0))
        total += (run - attacked) * factor + attacked * victims / comparison.victims
    # One more run for each seed: without a defense.
    return total * (len(candidates) + 1) / max(1, len(candidates))
