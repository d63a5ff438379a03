"""Recommendation of a comparison in plain English, with its evidence and its limits."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy.stats import binomtest

from fedsim.log.results import Result
from fedsim.log.schema import ADAPTIVE, NAIVE, NO_DEFENSE, Attacker
from fedsim.scenario.comparison import Comparison
from fedsim.show.privacy import audited, guarantee, upper

_ENOUGH = 0.05
"""Maximum share of recognisable examples for a defense to be called protective."""

_SAME_SIZE = 0.05
"""Maximum relative difference in size for uploads to count as large as without a defense."""

_WEAK_EPSILON = 20
"""Epsilon above which a formal guarantee is meaningless: e^20 is half a billion times as likely."""

_LEARNT = 2
"""Minimum ratio of a model's accuracy to chance for a loss of accuracy to be meaningful."""


def advice(comparison: Comparison, results: Sequence[Result]) -> list[str]:
    """Return paragraphs: recommendation, evidence, and limits.

    A defense is rated by the stronger of its attackers, at the stage where it leaks most. Among
    those that leak little, one for which the attack failed or gave no reconstruction is ranked
    after one that protects: the attack may only have been too weak.
    """
    worst = _worst(results)
    if not worst:
        return ["Nothing was attacked, so there is nothing to recommend."]
    reference = next((r for r in worst if r.label == NO_DEFENSE), None)
    paragraphs = [_verdict(comparison, worst, reference)]
    fooled = _looks_safe(results)
    if fooled is not None:
        paragraphs.append(fooled)
    paragraphs.append(_limits(comparison, results, worst))
    return paragraphs


def _worst(results: Sequence[Result]) -> list[Result]:
    """Return the result with the most leakage for each defense and strength."""
    by_defense: dict[tuple[int, int], list[Result]] = {}
    for result in results:
        by_defense.setdefault(result.order, []).append(result)
    return [max(group, key=_leakage) for _, group in sorted(by_defense.items())]


def _leakage(result: Result) -> tuple[float, float]:
    return result.leaked / max(1, result.examples), _above_blind(result)


def _unproven(result: Result) -> float:
    return (result.attack_failed + result.unscored) / max(1, result.examples)


def _above_blind(result: Result) -> float:
    if not result.scores:
        return 0.0
    return statistics.fmean(result.scores) - statistics.fmean(result.blind)


def _verdict(comparison: Comparison, worst: Sequence[Result], reference: Result | None) -> str:
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
    if reference.mean_accuracy < _LEARNT * reference.chance:
        return (
            f"After these rounds the {reference.accuracy_name} is {reference.mean_accuracy:.1%} "
            f"without any defense, where a guess has {reference.chance:.1%}: the "
            "model has learnt too little to measure the cost of a defense. Train for more rounds."
        )
    defended = [r for r in worst if r is not reference]
    affordable = [r for r in defended if r.mean_accuracy is not None and r.mean_accuracy >= floor]
    good = [r for r in affordable if r.leaked / r.examples <= _ENOUGH]
    loss = f"{100 * comparison.accuracy_loss:g}"
    points = f"{loss} {'point' if loss == '1' else 'points'} of accuracy"
    if good:
        best = min(good, key=lambda r: (_unproven(r), _leakage(r), -(r.mean_accuracy or 0)))
        does = "leaks least" if _unproven(best) > _ENOUGH else "protects best"
        return (
            f"Of the defenses that were tried, {best.name} {does} at no more than {points}: "
            f"{_evidence(best, reference)}"
        )
    dear = [r for r in defended if r.leaked / r.examples <= _ENOUGH]
    text = f"None of the defenses that were tried protects at a cost of at most {points}."
    if dear:
        best = max(dear, key=lambda r: r.mean_accuracy or 0)
        does = "with little leakage" if _unproven(best) > _ENOUGH else "that protects"
        text += f" The cheapest one {does} is {best.name}: {_evidence(best, reference)}"
    elif affordable:
        best = min(affordable, key=_leakage)
        text += f" The best affordable one is {best.name}: {_evidence(best, reference)}"
    return text


def _evidence(result: Result, reference: Result) -> str:
    interval = binomtest(result.leaked, result.examples).proportion_ci(method="wilson")
    accuracy = ""
    if result.mean_accuracy is not None and reference.mean_accuracy is not None:
        accuracy = (
            f" {result.accuracy_name.capitalize()} at the end is {result.mean_accuracy:.1%}, "
            f"against {reference.mean_accuracy:.1%} without a defense."
        )
    size = ""
    if result.upload_bytes and reference.upload_bytes:
        share = result.upload_bytes / reference.upload_bytes
        if abs(share - 1) >= _SAME_SIZE:
            size = f" An upload takes {share:.2g} of the bytes."
    spent = ""
    if result.epsilon is not None:
        weak = ", which guarantees next to nothing" if result.epsilon > _WEAK_EPSILON else ""
        said = f"ε ≤ {upper(result.epsilon)}"
        if result.privacy is not None:
            said = "; ".join(filter(None, [guarantee(result.privacy), audited(result.privacy)]))
        spent = f" Each client has spent {said}{weak}."
    who = "an attacker who knows it" if result.attacker == ADAPTIVE else "the attacker"
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
        f"{measure.things} recognisable (95 % interval {interval.low:.0%} to {interval.high:.0%})"
        f"{scores}.{doubt}{accuracy}{size}{spent}"
    )


def _looks_safe(results: Sequence[Result]) -> str | None:
    """Return a sentence on defenses that are safe only against a naive attacker, or None."""
    pairs: dict[tuple[tuple[int, int], str], dict[Attacker, Result]] = {}
    for result in results:
        pairs.setdefault((result.order, result.stage), {})[result.attacker] = result
    fooled = [
        pair[NAIVE].name
        for pair in pairs.values()
        if {NAIVE, ADAPTIVE} <= set(pair)
        and pair[NAIVE].leaked / pair[NAIVE].examples <= _ENOUGH
        and pair[ADAPTIVE].leaked / pair[ADAPTIVE].examples > _ENOUGH
    ]
    if not fooled:
        return None
    names = ", ".join(dict.fromkeys(fooled))
    return (
        f"Safe only against an attacker who ignores the defense: {names}. An attacker "
        f"who knows it recognises some or all of the {results[0].measure.things}."
    )


def _limits(comparison: Comparison, results: Sequence[Result], worst: Sequence[Result]) -> str:
    measure = results[0].measure
    parts = [
        f"This rests on {len(comparison.seeds)} "
        f"{'seed' if len(comparison.seeds) == 1 else 'seeds'} and at most "
        f"{max(r.examples for r in results)} {measure.things} for each figure, on one "
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
    poor = sorted({r.name for r in results if r.controls[1] < r.controls[0]})
    if controls[1] < controls[0]:
        parts.append(
            f"Only {controls[1]} of {controls[0]} undefended controls were reconstructed; the "
            f"others failed with {', '.join(poor)}, where a defense's effect cannot be "
            "distinguished from a failure of the attack."
        )
    failed = sorted({r.name for r in worst if r.attack_failed})
    if failed:
        parts.append(
            f"The attack failed on some {measure.things} of: {', '.join(failed)}. That is "
            f"not protection: the private {measure.thing} fits the upload better than the "
            "reconstruction."
        )
    unscored = sorted({r.name for r in worst if r.unscored})
    if unscored:
        parts.append(
            f"The attack gave no reconstruction for some {measure.things} of: "
            f"{', '.join(unscored)}. They count as not recognisable; an attack that does not "
            "give up may change this."
        )
    unanswered = sorted({r.label for r in results if not r.known_answer and r.label != NO_DEFENSE})
    if comparison.adaptive and unanswered:
        parts.append(
            "fedsim has no countermeasure to: " + ", ".join(unanswered) + "; the naive "
            "attacker represents both."
        )
    return " ".join(parts)
