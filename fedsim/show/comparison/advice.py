"""Recommendation of a comparison in plain English, with its evidence and its limits."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from scipy.special import stdtrit

from fedsim.core.names import ADAPTIVE, NAIVE, NO_DEFENSE, OVER_ROUNDS, Attacker
from fedsim.log.results import Result
from fedsim.scenario.comparison import Comparison
from fedsim.show.comparison.bound import (
    ENOUGH,
    bound_of,
    is_shown,
    needed,
    was_tested,
    was_tested_by_round,
)
from fedsim.show.comparison.fooled import falls_over_rounds, looks_safe
from fedsim.show.comparison.next_run import next_run
from fedsim.show.comparison.sweeps import is_setting, names_of, sweeps_said
from fedsim.show.privacy import audited, guarantee, robustness, upper

_ENOUGH = 0.05
"""Maximum share of recognisable examples for a defense to be called protective."""

_SAME_SIZE = 0.05
"""Maximum relative difference in size for uploads to count as large as without a defense."""

WEAK_EPSILON = 20
"""Epsilon above which a formal guarantee is meaningless: e^20 is half a billion times as likely."""

_WHO: dict[Attacker, str] = {
    NAIVE: "the attacker",
    ADAPTIVE: "an attacker who knows it",
    OVER_ROUNDS: "an attacker of all rounds together",
}

_LEARNT = 2
"""Minimum ratio of a model's accuracy to chance for a loss of accuracy to be meaningful; where
chance is more than a third, half of what is left above it is enough."""

_LEAST_LEARNT = 0.1
"""The same where chance is nearly nothing: of numbers, whose mean explains none of their spread."""


def advice(comparison: Comparison, results: Sequence[Result]) -> list[str]:
    """Return paragraphs: recommendation, evidence, and limits.

    A defense is recommended if an upper bound on its leaking batches is low, at each stage and from
    both attackers, if its controls were reconstructed, and if no attack on it failed.
    """
    examples = max((r.examples for r in results), default=0)
    swept, results = sweeps_said(results), [r for r in results if not is_setting(r)]
    worst = _worst(results)
    if not worst:
        return swept or ["Nothing was attacked, so there is nothing to recommend."]
    reference = next((r for r in worst if r.label == NO_DEFENSE), None)
    only_swept = swept and worst == [reference]
    paragraphs = [] if only_swept else [_verdict(comparison, worst, results, reference)]
    paragraphs += swept
    fooled = (looks_safe(results), falls_over_rounds(results))
    paragraphs += [said for said in fooled if said is not None]
    paragraphs.append(_limits(comparison, results, worst, examples))
    return paragraphs


def _worst(results: Sequence[Result]) -> list[Result]:
    """Return the result with the most leakage for each defense and strength."""
    by_defense: dict[tuple[int, int], list[Result]] = {}
    for result in results:
        by_defense.setdefault(result.order, []).append(result)
    return [max(_weighty(group), key=_leakage) for _, group in sorted(by_defense.items())]


def _weighty(group: Sequence[Result]) -> Sequence[Result]:
    """Return a defense's results, without single rounds that only all rounds together decide."""
    over = any(r.attacker == OVER_ROUNDS for r in group)
    return [r for r in group if any(r.batches) or not (over and r.apart)] or group


def _leakage(result: Result) -> tuple[float, float, float]:
    exposed = sum(result.batches) / max(1, len(result.batches))
    return exposed, result.leaked / max(1, result.examples), _above_blind(result)


def _unproven(result: Result) -> float:
    return (result.attack_failed + result.unscored) / max(1, result.examples)


def _above_blind(result: Result) -> float:
    if not result.scores:
        return 0.0
    return statistics.fmean(result.scores) - statistics.fmean(result.blind)


def _verdict(
    comparison: Comparison,
    worst: Sequence[Result],
    results: Sequence[Result],
    reference: Result | None,
) -> str:
    if reference is None or reference.mean_accuracy is None:
        return (
            "There is no run without a defense to compare with: add an empty [[grid]] entry "
            "to measure the cost of a defense."
        )
    if reference.leaked == 0:
        return (
            f"Without any defense no {reference.measure.thing} was recognisable: this attack "
            "is too weak here, so nothing below is evidence that a defense works. Increase the "
            "number of evaluations."
        )
    floor = reference.mean_accuracy - comparison.accuracy_loss
    defended = [r for r in worst if r is not reference]
    learnt = max(_LEARNT * reference.chance, _LEAST_LEARNT)
    if reference.mean_accuracy < min(learnt, (1 + reference.chance) / 2):
        return _unlearnt(comparison, reference, defended, results)
    loss = f"{100 * comparison.accuracy_loss:g}"
    points = f"{loss} {'point' if loss == '1' else 'points'} of accuracy"
    cells = {d.order: [r for r in results if r.order == d.order] for d in defended}
    shown = [d for d in defended if is_shown(cells[d.order], len(defended))]
    good = [d for d in shown if (d.mean_accuracy or 0) >= floor]
    if good:
        best = max(good, key=lambda r: r.mean_accuracy or 0)
        told = _evidence(best, reference, len(defended))
        return (
            f"Of the defenses that were tried, {best.name} protects best at no more than {points}: "
            f"{told}"
        )
    if shown:
        best = max(shown, key=lambda r: r.mean_accuracy or 0)
        told = _evidence(best, reference, len(defended))
        return (
            f"No defense that was tried was shown to protect at no more than {points}. The "
            f"cheapest one that was shown to protect is {best.name}: {told}"
        )
    return _nothing_shown(comparison, defended, cells)


def _unlearnt(
    comparison: Comparison,
    reference: Result,
    defended: Sequence[Result],
    results: Sequence[Result],
) -> str:
    """Return the advice where costs are unknown: what leaked, and the comparison to run next."""
    cells = {d.order: [r for r in results if r.order == d.order] for d in defended}
    quiet = [d for d in defended if not any(any(r.batches) for r in cells[d.order])]
    least = min(defended, key=_leakage, default=None)
    told = ""
    if quiet:
        told = f" Nothing leaked so far, which does not show protection, from: {names_of(quiet)}."
    elif least is not None:
        told = f" The least leaked from {least.name}, but some did."
    after = next_run(comparison, quiet or defended or [reference], learnt=False,
                     tried=len(quiet) or 1)  # fmt: skip
    return (
        f"After these rounds the {reference.accuracy_name} is {reference.mean_accuracy:.1%} "
        f"without any defense, where a guess has {reference.chance:.1%}: the "
        f"model has learnt too little to measure the cost of a defense.{told} Next, train for more "
        f"rounds: {after}."
    )


def _nothing_shown(
    comparison: Comparison,
    defended: Sequence[Result],
    cells: Mapping[tuple[int, int], Sequence[Result]],
) -> str:
    """Return the failures, those without a leak so far, and the comparison to run next."""
    failed = [d for d in defended if any(any(r.batches) for r in cells[d.order])]
    answered = [d for d in defended if all(r.known_answer for r in cells[d.order])]
    quiet = [d for d in answered if d not in failed]
    held = [d for d in quiet if was_tested(cells[d.order])]
    untested = [d for d in quiet if d not in held]
    apart = [d for d in untested if was_tested_by_round(cells[d.order])]
    unsure = [d for d in untested if d not in apart]
    parts = [f"Shown to fail: {names_of(failed)}."] if failed else []
    if unanswered := [d for d in defended if d not in answered]:
        sums = "sums of uploads with " if any(d.summed for d in defended) else ""
        parts.append(f"No adaptive attacker is known for {sums}{names_of(unanswered)}.")
    if apart:
        parts.append(
            f"Nothing leaked in single rounds from: {names_of(apart)}. That is not protection: "
            "clients use the attacked examples again in other rounds, which no attacker combined. "
            "Attack all rounds together (scenario.adversary.rounds_together = true, with the last "
            "round as a stage), or use each example in one round only."
        )
    if unsure:
        parts.append(
            f"Not known, because an attack or its control failed: {names_of(unsure)}. Use more "
            "evaluations or another attack first."
        )
    if held:
        told = ", ".join(
            f"{d.name} (0 of {len(d.batches)} batches; upper bound "
            f"{bound_of(d, len(defended)):.0%})"
            for d in held
        )
        parts.append(f"Nothing leaked so far from: {told}.")
        count = needed(len(held))
        after = next_run(comparison, held, learnt=True, tried=len(held))
        parts.append(
            f"Next, compare these alone with {count} attacked batches each (victims × seeds, now "
            f"{min(len(d.batches) for d in held)}): if no batch leaks and no attack fails, the "
            f"bound is {ENOUGH:.0%}. For instance, {after}."
        )
    said = " ".join(parts) or "Nothing was defended."
    return (
        "No defense that was tried was shown to protect, so none is recommended: "
        f"{said[0].lower()}{said[1:]}"
    )


def _evidence(result: Result, reference: Result, candidates: int) -> str:
    bound = bound_of(result, candidates)
    accuracy = ""
    if result.mean_accuracy is not None and reference.mean_accuracy is not None:
        accuracy = (
            f" {result.accuracy_name.capitalize()} at the end is {result.mean_accuracy:.1%}, "
            f"against {reference.mean_accuracy:.1%} without a defense{_spread(result)}."
        )
    size = ""
    if result.upload_bytes and reference.upload_bytes:
        share = result.upload_bytes / reference.upload_bytes
        if abs(share - 1) >= _SAME_SIZE:
            size = f" An upload takes {share:.2g} of the bytes."
    spent = ""
    if result.epsilon is not None:
        weak = ", which guarantees next to nothing" if result.epsilon > WEAK_EPSILON else ""
        said = f"ε ≤ {upper(result.epsilon)}"
        if result.privacy is not None:
            own = result.privacy
            said = "; ".join(filter(None, [guarantee(own), audited(own), robustness(own)]))
        spent = f" Each client has spent {said}{weak}."
    who = _WHO[result.attacker]
    measure, scores = result.measure, ""
    if result.scores:
        scores = (
            f", on average at {measure.told(statistics.fmean(result.scores))} where a blind guess "
            f"has {statistics.fmean(result.blind):.1f}"
        )
    doubt = ""
    if _unproven(result) > _ENOUGH:
        doubt = (
            f" On {result.attack_failed + result.unscored} of the {result.examples} the attack "
            "failed or gave no reconstruction, which is not protection: a better one may succeed."
        )
    return (
        f"where it leaks most ({result.stage}), {who} makes {result.leaked} of {result.examples} "
        f"{measure.things} recognisable and {result.partly} in part ({sum(result.batches)} of "
        f"{len(result.batches)} batches; upper bound {bound:.0%})"
        f"{scores}.{doubt}{accuracy}{size}{spent}"
    )


def _spread(result: Result) -> str:
    """Return the interval of a mean accuracy over the seeds, in brackets."""
    runs = len(result.accuracy)
    if runs < 2:
        return " (one seed: the interval is not known)"
    half = stdtrit(runs - 1, 0.975) * statistics.stdev(result.accuracy) / math.sqrt(runs)
    return f" (95 % interval ±{100 * half:.1f} points, {runs} seeds)"


def _limits(
    comparison: Comparison, results: Sequence[Result], worst: Sequence[Result], examples: int
) -> str:
    measure = results[0].measure
    parts = [
        f"This rests on {len(comparison.seeds)} "
        f"{'seed' if len(comparison.seeds) == 1 else 'seeds'} and at most "
        f"{examples} {measure.things} for each figure, on one "
        "data set, one network and one attack. A stronger attack may find more: these results "
        "are a lower bound on the leakage."
    ]
    if comparison.last_evaluations > 1:
        parts.append(
            f"Accuracy is the mean over the last {comparison.last_evaluations} measurements."
        )
    # The attackers of a defense share its controls.
    own = {(r.order, r.stage): r.controls for r in results}.values()
    controls = [sum(c) for c in zip(*own, strict=True)]
    poor = [r for r in results if r.controls[1] < r.controls[0]]
    if controls[1] < controls[0]:
        parts.append(
            f"Only {controls[1]} of {controls[0]} undefended controls were reconstructed; the "
            f"others failed with {names_of(poor)}, where a defense's effect cannot be "
            "distinguished from a failure of the attack."
        )
    failed = [r for r in worst if r.attack_failed]
    if failed:
        parts.append(
            f"The attack failed on some {measure.things} of: {names_of(failed)}. That is "
            f"not protection: a better attack may find the {measure.things}."
        )
    unscored = [r for r in worst if r.unscored]
    if unscored:
        parts.append(
            f"The attack gave no reconstruction for some {measure.things} of: "
            f"{names_of(unscored)}. They count as not recognisable; an attack that does not "
            "give up may change this."
        )
    missing = [r for r in results if not r.known_answer and r.label != NO_DEFENSE]
    if comparison.adaptive and missing:
        parts.append(_unanswered(missing))
    return " ".join(parts)


def _unanswered(results: Sequence[Result]) -> str:
    """Return a sentence on defenses without an adaptive attacker."""
    names = ", ".join(sorted({r.label for r in results}))
    if any(r.summed for r in results):
        return (
            f"fedsim has no adaptive attacker of sums of uploads with: {names}; the naive attacker "
            "represents both. A countermeasure to single uploads does not answer their sum."
        )
    return f"fedsim has no countermeasure to: {names}; the naive attacker represents both."
