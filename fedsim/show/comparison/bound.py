"""Upper bound on the share of batches that leak, corrected for selection among defenses."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import betaincinv

from fedsim.core.names import ADAPTIVE, OVER_ROUNDS
from fedsim.log.results import Result

ENOUGH = 0.05
"""Maximum upper bound on the share of leaking batches for a defense to be recommended."""

_ERROR = 0.05
"""Probability that any of the bounds of a comparison is too low."""


def upper_bound(leaking: int, batches: int, candidates: int = 1) -> float:
    """Return the one-sided bound of Clopper and Pearson (1934), with Bonferroni's correction.

    The examples of a batch succeed or fail together, so the sample is the batches of all seeds,
    and a batch leaks if one of its examples leaks, in part or fully.
    """
    if leaking >= batches:
        return 1.0
    return float(betaincinv(leaking + 1, batches - leaking, 1 - _ERROR / max(1, candidates)))


def needed(candidates: int = 1) -> int:
    """Return the number of batches of which none may leak for a bound of at most `ENOUGH`."""
    return math.ceil(math.log(_ERROR / max(1, candidates)) / math.log(1 - ENOUGH))


def bound_of(result: Result, candidates: int) -> float:
    """Return the upper bound for one result."""
    return upper_bound(sum(result.batches), len(result.batches), candidates)


def is_attacked(result: Result, allowed: int = 0) -> bool:
    """Return whether the controls were reconstructed and the attack failed almost nowhere.

    Args:
        result: of one stage and attacker.
        allowed: number of failed attacks that are not counted.
    """
    failed = result.attack_failed + result.unscored - allowed
    return result.controls[1] == result.controls[0] > 0 and failed <= ENOUGH * result.examples


def is_shown(own: Sequence[Result], candidates: int) -> bool:
    """Return whether a defense was shown to protect, at all stages and from all attackers.

    A naive attacker, who ignores the defense, only counts if something leaks to him.
    """
    return all(bound_of(r, candidates) <= ENOUGH and r.known_answer for r in own) and was_tested(
        own
    )


def was_tested(own: Sequence[Result]) -> bool:
    """Return whether the adaptive attacks on a defense were evidence, at all stages.

    Attacks on single rounds that share examples are evidence only beside one on all rounds, and one
    that was made must not have failed.
    """
    over = [r for r in own if r.attacker == OVER_ROUNDS]
    if not all(is_attacked(r) for r in over):
        return False
    adaptive = [r for r in own if r.attacker == ADAPTIVE]
    covered = min((len(r.batches) for r in over), default=0)
    return bool(adaptive) and all(
        is_attacked(r, r.apart if len(r.batches) <= covered else 0) for r in adaptive
    )


def was_tested_by_round(own: Sequence[Result]) -> bool:
    """Return whether the adaptive attacks were evidence except that rounds were not combined."""
    if any(r.attacker == OVER_ROUNDS for r in own):
        return False
    adaptive = [r for r in own if r.attacker == ADAPTIVE]
    return any(r.apart for r in adaptive) and all(is_attacked(r, r.apart) for r in adaptive)
