"""Known causes of failure, one function each, from facts to a finding or None.

A cause gets the control in addition to the case, because the control distinguishes a failing attack
from a working defense: it is an undefended gradient of one step. Strengths rank causes that hold at
the same time: causes of wrong equations come before causes of equations that are hard to solve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fedsim.core.measures import FIT_FLOOR
from fedsim.log.schema import NAIVE
from fedsim.show.explain.cases import Case
from fedsim.show.explain.finding import Finding

Cause = Callable[[Case, Case | None], Finding | None]

CAUSES: list[Cause] = []


def cause(function: Cause) -> Cause:
    """Register a cause."""
    CAUSES.append(function)
    return function


@cause
def nothing_to_attack(case: Case, control: Case | None) -> Finding | None:
    """Find unusable uploads, and attacks that ended with an error."""
    problems = [u.problem for u in case.uploads if u.problem]
    errors = [r.error for r in case.reconstructions if r.error]
    said = problems or errors
    if not said:
        return None
    what = "the upload was unusable" if problems else "the attack gave up"
    return Finding(
        what,
        1.0 if len(said) >= len(case.reconstructions) else 0.7,
        f"{len(said)} of {len(case.reconstructions)}; the first message: {said[0]}",
        "Read the message: it states the requirements of the attack. Another attack may need less.",
    )


@cause
def wrong_learning_rate(case: Case, control: Case | None) -> Finding | None:
    """Find an adversary that assumes a wrong learning rate."""
    if case.is_control or case.federation.get("upload") != "update" or case.exact:
        return None
    assumed = case.scenario.get("adversary", {}).get("learning_rate")
    actual = case.federation.get("learning_rate")
    if case.truth_misfit is None or assumed in (None, actual):
        return None
    return Finding(
        "wrong learning rate",
        0.97,
        f"The private data themselves fit the upload only to {case.truth_misfit:.2g}, and "
        f"{_zero(control)}. The adversary assumes a learning rate of {assumed:g}; it is "
        f"{actual:g} (known from the scenario, no attacker could see it).",
        "Omit adversary.learning_rate, or use an attack that compares directions and not "
        "sizes: inverting-gradients.",
    )


@cause
def many_local_steps(case: Case, control: Case | None) -> Finding | None:
    """Find uploads of several local steps."""
    if case.local_steps < 2:
        return None
    approximate = any(r.approximate for r in case.reconstructions)
    fits = "" if case.truth_misfit is None else f"{case.truth_misfit:.2g}"
    evidence = f"{case.local_steps} local steps on {case.batch_size} examples are in one upload. "
    if approximate:
        evidence += (
            "The attack treated them as one large step, an approximation that the private data "
            f"themselves fit only to {fits}."
        )
    else:
        evidence += (
            f"The attack unrolled them: the private data fit to {fits}, but it had to find them, "
            "their labels and their order among the steps at once."
        )
    return Finding(
        "too many local steps",
        0.92 if approximate else 0.86,
        evidence,
        "Use fewer local_steps to test this cause; "
        + ("let the attack unroll them (local_steps = 'unroll'), and " if approximate else "")
        + "use more evaluations and trials (each trial guesses another order).",
    )


@cause
def defended_upload(case: Case, control: Case | None) -> Finding | None:
    """Find defended uploads."""
    if not case.defenses or case.exact:
        return None
    works = control is not None and control.leaked > 0
    fits = "" if case.truth_misfit is None else f" only to {case.truth_misfit:.2g}"
    naive = case.attacker == NAIVE
    return Finding(
        "the upload is defended",
        0.95 if works else 0.6,
        f"The clients apply {', '.join(case.defenses)}; the private data themselves fit the "
        f"upload{fits}, while {_zero(control)}"
        + (", which was reconstructed: the attack works here." if works else "."),
        "This is the purpose of a defense. "
        + (
            "But this attacker ignores it: check the adaptive attacker (adversary.adaptive = true) "
            "before you call it protection."
            if naive
            else "This attacker knows it. A stronger search may still find more."
        ),
    )


@cause
def diverged_optimiser(case: Case, control: Case | None) -> Finding | None:
    """Find objectives that rose instead of falling."""
    flat = [c for c in case.curves if len(c) > 4 and not _falls(c)]
    if not case.curves or 2 * len(flat) < len(case.curves):
        return None
    return Finding(
        "the optimiser diverged",
        0.94,
        f"In {len(flat)} of {len(case.curves)} attacks the objective did not fall: it began at "
        f"{flat[0][0]:.2g} and was at {flat[0][-2]:.2g} late in the search.",
        "Use a smaller step_size (0.1 is usual for Adam), or an attack with L-BFGS, which needs "
        "no step size: dlg, idlg.",
    )


@cause
def batch_statistics(case: Case, control: Case | None) -> Finding | None:
    """Find batch normalisation by the batch's own statistics, which mixes the examples."""
    layers = case.model.batch_statistics
    if not layers or not case.exact:
        return None
    return Finding(
        "batch normalisation in training mode",
        0.9,
        f"{layers} layers of the model normalise by the batch's own mean and variance (as the run "
        f"has recorded): this removes the brightness and contrast of each example, and "
        f"every example affects the gradient of every other. {_stuck(case)}",
        "Use batch_norm = 'eval' to test this cause, or gradinversion, which reads the batch's "
        "statistics from the uploaded buffers of a single step.",
    )


@cause
def hidden_label(case: Case, control: Case | None) -> Finding | None:
    """Find searches with wrong labels."""
    if case.wrong_labels < 0.5 or not case.exact or case.local_steps > 1:
        return None
    single = case.batch_size == 1
    return Finding(
        "the labels were not found",
        0.88 if single else 0.84,
        f"In {case.wrong_labels:.0%} of the attacked uploads the labels that the attack "
        "ended with are not the private ones, in any order; an example of another class "
        "cannot have the same gradient.",
        "Read the labels off the gradient first (idlg, best) instead of searching for them "
        "together with the data (dlg); more trials; for batches, an attack that counts labels.",
    )


@cause
def rough_landscape(case: Case, control: Case | None) -> Finding | None:
    """Find piecewise linear layers, whose gradient of the gradient is zero."""
    layers = case.model.piecewise_linear
    if not layers or not case.exact or not case.curves or case.wrong_labels >= 0.5:
        return None
    if case.misfit is None or case.misfit <= FIT_FLOOR:
        return None
    return Finding(
        "ReLU or max pooling: no second derivative to follow",
        0.8,
        f"{layers} layers of the model are piecewise linear (as the run has recorded). "
        "Their second derivative is zero almost everywhere, and the gradient jumps when the set "
        f"of active units changes. {_stuck(case)}",
        "Zhu, Liu and Han (2019) replaced ReLU by sigmoids for this reason. Use another "
        "activation (gelu, sigmoid) to test this cause; attacks that need no second "
        "derivative: rgap, dense; or many trials.",
    )


@cause
def large_batch(case: Case, control: Case | None) -> Finding | None:
    """Find large batches, with many unknowns and interchangeable examples."""
    if case.batch_size < 2 or not case.exact or case.local_steps > 1:
        return None
    repeated = ""
    if case.repeated_labels:
        repeated = (
            f" In {case.repeated_labels:.0%} of the batches a label occurs more than once: such "
            "examples can be mixed into each other at almost no cost."
        )
    return Finding(
        "a large batch" + (" with repeated labels" if repeated else ""),
        min(0.83, 0.62 + 0.05 * math.log2(case.batch_size) + (0.05 if repeated else 0)),
        f"{case.batch_size} examples are behind each upload, and the attack has to find all of "
        f"them at once.{repeated} {_stuck(case)}",
        "Use batch_size = 1 to test this cause. Then more evaluations and trials; "
        "attacks made for batches: gradinversion, spear (for a dense first layer).",
    )


@cause
def small_budget(case: Case, control: Case | None) -> Finding | None:
    """Find searches that ended while the objective was still falling."""
    spent = [r for r in case.reconstructions if r.status in ("exhausted", "stopped")]
    fall = case.fall
    if 2 * len(spent) < len(case.reconstructions) or fall is None or fall < 1.5:
        return None
    if not case.exact or case.misfit is None or case.misfit <= FIT_FLOOR:
        return None
    evaluations = max(r.evaluations for r in spent)
    return Finding(
        "too few evaluations",
        min(0.87, 0.55 + 0.2 * math.log10(fall)),
        f"The objective was still falling after all {evaluations} evaluations: by a "
        f"factor of {fall:.1f} over the second half, to {case.misfit:.2g}.",
        f"Use more: --set adversary.attack.evaluations={5 * evaluations}.",
    )


@cause
def several_solutions(case: Case, control: Case | None) -> Finding | None:
    """Find reconstructions that fit as well as the private data."""
    if case.misfit is None or case.truth_misfit is None or case.misfit > FIT_FLOOR or case.defenses:
        return None
    return Finding(
        "other data fit as well",
        0.5,
        f"The reconstruction fits the upload to {case.misfit:.2g}, as well as the private data: "
        "the gradient does not distinguish them, or only in digits lost to rounding.",
        "Add a prior (for pictures: inverting-gradients), compute in float64 "
        "(precision = 'float64'), or use more trials.",
    )


def _zero(control: Case | None) -> str:
    """Return a clause on the fit of the control's own data, for comparison."""
    if control is None or control.truth_misfit is None:
        return "there is no control to compare with"
    return f"the control's own data fit to {control.truth_misfit:.2g}"


def _stuck(case: Case) -> str:
    found = "" if case.misfit is None else f"The search ended at an objective of {case.misfit:.2g}"
    return f"{found}, while the private data have {case.truth_misfit or 0:.2g}."


def _falls(curve: Sequence[float]) -> bool:
    """Return whether the objective of a search fell and stayed low."""
    # The last value is that of the best point, not of the last one.
    return math.isfinite(curve[-2]) and curve[-2] < 1.5 * curve[0] and curve[-1] < 0.9 * curve[0]
