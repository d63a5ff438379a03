"""Causes of failure that lie in the search: the equations are right but hard to solve."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fedsim.log.schema import Doubt
from fedsim.show.explain.cases import Case
from fedsim.show.explain.finding import Finding

FELL = 1.5
"""Factor by which an objective that is still falling fell over the second half of the search."""


def diverged_optimiser(case: Case, control: Case | None) -> Finding | None:
    """Find objectives that rose instead of falling."""
    flat = [c for c in case.curves if len(c) > 4 and not _falls(c)]
    if not case.curves or case.fits or 2 * len(flat) < len(case.curves):
        return None
    step = case.attack.get("step_size")
    quasi_newton = case.others(
        ", or an attack with L-BFGS, which needs no step size: {}.", ("dlg", "idlg")
    )
    return Finding(
        "the optimiser diverged",
        0.94,
        f"In {len(flat)} of {len(case.curves)} attacks the objective did not fall: it began at "
        f"{flat[0][0]:.2g} and was at {flat[0][-2]:.2g} late in the search.",
        f"Use a smaller step: --set adversary.attack.step_size={step / 10:g}{quasi_newton}"
        if isinstance(step, int | float)
        else f"Use another seed, or more starts: {case.more('trials')}".removesuffix(": "),
    )


def batch_statistics(case: Case, control: Case | None) -> Finding | None:
    """Find batch normalisation by the batch's own statistics, which mixes the examples."""
    layers = case.model.batch_statistics
    if not layers or not case.solvable:
        return None
    return Finding(
        "batch normalisation in training mode",
        0.9,
        f"{layers} layers of the model normalise by the batch's own mean and variance (as the run "
        f"has recorded): this removes the brightness and contrast of each example, and "
        f"every example affects the gradient of every other. {_stuck(case)}",
        "Use batch_norm = 'eval' to test this cause"
        + case.others(
            ", or {}, which reads the batch's statistics from the uploaded buffers of a single "
            "step.",
            ("gradinversion",),
        ),
    )


def hidden_label(case: Case, control: Case | None) -> Finding | None:
    """Find searches with wrong labels."""
    if case.wrong_labels < 0.5 or not case.solvable or case.local_steps > 1:
        return None
    single = case.batch_size == 1
    return Finding(
        "the labels were not found",
        0.88 if single else 0.84,
        f"In {case.wrong_labels:.0%} of the attacked uploads the labels that the attack "
        "ended with are not the private ones, in any order; an example of another class "
        "cannot have the same gradient.",
        (
            "Read the labels off the gradient first (idlg, best) instead of searching for them "
            "together with the data (dlg)."
            if case.attack_name == "dlg" and case.of_pictures
            else "Use "
            + ("" if single else "a batch whose labels are all different, or ")
            + f"more starts: {case.more('trials') or 'another seed'}"
        ),
    )


def rough_landscape(case: Case, control: Case | None) -> Finding | None:
    """Find piecewise linear layers, whose gradient of the gradient is zero."""
    layers = case.model.piecewise_linear
    if not layers or not case.solvable or not case.curves or case.wrong_labels >= 0.5:
        return None
    if case.misfit is None or case.fits:
        return None
    return Finding(
        "ReLU or max pooling: no second derivative to follow",
        0.8,
        f"{layers} layers of the model are piecewise linear (as the run has recorded). "
        "Their second derivative is zero almost everywhere, and the gradient jumps when the set "
        f"of active units changes. {_stuck(case)}",
        "Zhu, Liu and Han (2019) replaced ReLU by sigmoids for this reason. Use another "
        "activation (gelu, sigmoid) to test this cause"
        + case.others(
            "; attacks that need no second derivative: {}.",
            ("rgap", "dense") if case.batch_size == 1 else ("spear",),
        ),
    )


def large_batch(case: Case, control: Case | None) -> Finding | None:
    """Find large batches, with many unknowns and interchangeable examples."""
    if case.batch_size < 2 or not case.solvable or case.local_steps > 1:
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
        "Use batch_size = 1 to test this cause"
        + case.others("; attacks made for batches: {}.", ("gradinversion", "spear"))
        + (f" More effort: {more}" if (more := case.more("evaluations", "trials")) else ""),
    )


def small_budget(case: Case, control: Case | None) -> Finding | None:
    """Find searches that ended while the objective was still falling."""
    spent = [r for r in case.reconstructions if r.status in ("exhausted", "stopped")]
    fall = case.fall
    falling = case.doubted(Doubt.STILL_FALLING) >= 0.5 or (fall is not None and fall >= FELL)
    if 2 * len(spent) < len(case.reconstructions) or not falling:
        return None
    if case.attack and "evaluations" not in case.attack:
        return None
    if not case.solvable or case.misfit is None or case.fits:
        return None
    evaluations = max(r.evaluations for r in spent)
    return Finding(
        "too few evaluations",
        min(0.87, 0.55 + 0.2 * math.log10(max(FELL, fall or 0))),
        f"The objective was still falling after all {evaluations} evaluations"
        + ("" if fall is None else f": by a factor of {fall:.1f} over the second half")
        + f", to {case.misfit:.2g}; the private data have {case.truth_misfit or 0:.2g}.",
        _more_time(case) or f"Use more: --set adversary.attack.evaluations={5 * evaluations}",
    )


def worse_than_the_truth(case: Case, control: Case | None) -> Finding | None:
    """Find searches that ended at a worse fit than that of the private data."""
    if not case.solvable or case.misfit is None or case.fits or not case.searched:
        return None
    more = case.more("evaluations", "trials")
    return Finding(
        "the search ended early",
        0.45,
        f"{_stuck(case)} So the equations point to the private data, and another search may "
        "find them.",
        _more_time(case)
        or (f"Use more effort: {more}" if more else "Use another seed.")
        + case.others(" Or another attack: {}.", ("best", "idlg")).removesuffix("."),
    )


def _more_time(case: Case) -> str:
    """Return advice for attacks that the time limit ended, else an empty text."""
    stopped = [r for r in case.reconstructions if r.status == "stopped" and not r.cut]
    if 2 * len(stopped) < max(1, len(case.reconstructions)):
        return ""
    limit = float(case.plan.get("time_limit_s", 600.0))
    return f"The time limit ended it: --set adversary.time_limit_s={5 * limit:g}"


def several_solutions(case: Case, control: Case | None) -> Finding | None:
    """Find reconstructions that fit as well as the private data."""
    if case.misfit is None or not case.fits or case.defenses:
        return None
    finer = case.attack.get("precision") != "float64"
    return Finding(
        "other data fit as well",
        0.5,
        f"The reconstruction fits the upload to {case.misfit:.2g}, as well as the private data: "
        "the gradient does not distinguish them, or only in digits lost to rounding.",
        "Use more trials"
        + (", compute in float64 (precision = 'float64')" if finer else "")
        + case.others(", or add a prior: {}.", ("inverting-gradients",)),
    )


def _stuck(case: Case) -> str:
    found = "" if case.misfit is None else f"The search ended at an objective of {case.misfit:.2g}"
    return f"{found}, while the private data have {case.truth_misfit or 0:.2g}."


def _falls(curve: Sequence[float]) -> bool:
    """Return whether the objective of a search fell and stayed low."""
    # The last value is that of the best point, not of the last one.
    return math.isfinite(curve[-2]) and curve[-2] < 1.5 * curve[0] and curve[-1] < 0.9 * curve[0]


SEARCHES = (
    diverged_optimiser,
    batch_statistics,
    hidden_label,
    rough_landscape,
    large_batch,
    small_budget,
    worse_than_the_truth,
    several_solutions,
)
