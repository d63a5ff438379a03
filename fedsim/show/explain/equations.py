"""Causes of failure that lie in the attacker's equations: they do not describe the upload.

A cause gets the control in addition to the case, because the control distinguishes a failing attack
from a working defense: it is an undefended gradient of one step.
"""

from __future__ import annotations

from fedsim.core.local_steps import worth_unrolling
from fedsim.log.schema import ADAPTIVE, NAIVE, Doubt, UploadRecord
from fedsim.show.explain.cases import Case
from fedsim.show.explain.finding import Finding

GEIPING = ("inverting-gradients",)


def broken_off(case: Case, control: Case | None) -> Finding | None:
    """Find attacks that had not ended when the run was interrupted."""
    cut = sum(r.cut for r in case.reconstructions)
    if not cut:
        return None
    return Finding(
        "the run was broken off",
        1.0,
        f"{cut} of {len(case.reconstructions)} attacks had not ended: their results say nothing.",
        "Go on with it: fedsim run --resume with the run's folder.",
    )


def nothing_to_attack(case: Case, control: Case | None) -> Finding | None:
    """Find unusable uploads, and attacks that ended with an error."""
    refused = [isinstance(u, UploadRecord) and u.refused for u in case.uploads]
    problems = [
        u.problem
        for u, by_a_check in zip(case.uploads, refused, strict=True)
        if u.problem and not by_a_check
    ]
    errors = [r.error for r in case.reconstructions if r.error]
    said = problems or errors
    if not said or (any(refused) and not problems):  # see `refused_the_model`
        return None
    what = "the upload was unusable" if problems else "the attack gave up"
    return Finding(
        what,
        1.0 if len(said) >= len(case.reconstructions) else 0.7,
        f"{len(said)} of {len(case.reconstructions)}; the first message: {said[0]}",
        "Read the message: it states the requirements of the attack. Another attack may need less.",
    )


def wrong_learning_rate(case: Case, control: Case | None) -> Finding | None:
    """Find an adversary that assumes a wrong learning rate."""
    if case.is_control or case.federation.get("upload") != "update" or case.explained:
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
        "Omit adversary.learning_rate"
        + case.others(", or use an attack that compares directions and not sizes: {}.", GEIPING),
    )


_TREATED = {
    "average": "treated them as one large step",
    "surrogate": "treated them as one large step between the received and the sent weights",
    "unroll": "followed them in an order that it guessed, or through an optimiser that jumps",
    "agree": "followed them with dummies of its own for each pass, which agree up to their order",
}
_TO_UNROLL = "; let the attack unroll them (local_steps = 'unroll', whose cost grows with them)"


def many_local_steps(case: Case, control: Case | None) -> Finding | None:
    """Find uploads of several local steps."""
    if case.local_steps < 2:
        return None
    approximate = any(r.approximate for r in case.reconstructions)
    how = _treatment(case)
    fits = "" if case.truth_misfit is None else f"{case.truth_misfit:.2g}"
    evidence = f"{case.local_steps} local steps on {case.batch_size} examples are in one upload. "
    if approximate:
        evidence += f"The attack {_TREATED.get(how, _TREATED['unroll'])}, an approximation" + (
            f" that the private data themselves fit only to {fits}." if fits else "."
        )
    else:
        evidence += (
            "The attack unrolled them"
            + (f": the private data fit to {fits}, but" if fits else ", but")
            + " it had to find them, their labels and their order among the steps at once."
        )
    return Finding(
        "too many local steps",
        0.92 if approximate else 0.86,
        evidence + _expected(case),
        f"Use fewer {case.steps_key} to test this cause"
        + (_TO_UNROLL if approximate and how not in ("unroll", "agree") else "")
        + ("; use more: " if case.more("evaluations", "trials") else ".")
        + case.more("evaluations", "trials"),
    )


def _expected(case: Case) -> str:
    """Return the results to expect of such steps (``tests/paper/test_local_training.py``)."""
    if case.reuses:
        return (
            " Examples are used again in an order that is not known, and these attacks find "
            "little more than a blind guess. A better attack may find more (LeNet, "
            "8 clothes in batches of 4, 2 passes of SGD at 0.03, 300 evaluations: 7.4 dB unrolled, "
            "7.4 by a surrogate model, 7.5 for plain grey)."
        )
    return (
        " Expect less than after one step, and least of Adam (LeNet, 8 clothes in batches of 4, "
        "one pass of SGD, momentum and Adam, 300 evaluations: 14.8, 14.7 and 9.3 dB unrolled, 8.1, "
        "9.1 and 5.0 taken for one step, 7.5 for plain grey)."
    )


def _treatment(case: Case) -> str:
    """Return the way to take local steps; `best` unrolls a few steps of a known order."""
    how: str = case.attack.get("local_steps", "unroll")
    most = case.attack.get("most_unrolled")
    agree = case.reuses and case.attack.get("reused") == "agree"
    guessed = case.reuses and not agree
    if how != "unroll":
        return how
    if most is not None and not worth_unrolling(case.local_steps, guessed, int(most)):
        return "surrogate"
    return "agree" if agree else how


def defended_upload(case: Case, control: Case | None) -> Finding | None:
    """Find defended uploads."""
    if not case.defenses or (case.attacker == NAIVE and case.explained):
        return None
    if case.attacker == ADAPTIVE and not (case.explained is None or (case.explained and case.fits)):
        return None
    works = control is not None and control.leaked > 0
    fits = ""
    if case.truth_misfit is not None:
        fits = (
            f" The private data themselves fit the upload to {case.truth_misfit:.2g}, while "
            f"{_zero(control)}."
        )
    return Finding(
        "the upload is defended",
        0.95 if works else 0.6,
        f"The clients apply {', '.join(case.defenses)}.{fits}"
        + (" The control, which has no defense, was reconstructed." if works else ""),
        f"This is the purpose of a defense. {_attacker_next(case)}",
    )


def _attacker_next(case: Case) -> str:
    """Return the next step against a defense, never one that the run has taken."""
    if case.attacker == ADAPTIVE:
        more = case.more("evaluations", "trials")
        stronger = f" A stronger search may still find more: {more}" if more else ""
        return f"This attacker knows it.{stronger}"
    if case.has_adaptive:
        return "But this attacker ignores it: see the adaptive attacker of the same clients."
    if _is_unanswered(case):
        return "But this attacker ignores it, so this is not evidence of protection."
    return (
        "But this attacker ignores it: check the adaptive attacker (adversary.adaptive = true) "
        "before you call it protection."
    )


def no_adaptive_attacker(case: Case, control: Case | None) -> Finding | None:
    """Find defenses that no attacker of fedsim takes into account."""
    if not case.defenses or not _is_unanswered(case):
        return None
    chain = ", ".join(case.defenses)
    return Finding(
        f"no adaptive attacker is known for {case.things} under {chain}",
        0.93,
        f"Only an attacker who ignores {chain} was tried: fedsim has no countermeasure to it for "
        f"this attack on {case.things}. His failure says nothing about one who knows it.",
        "Do not call it protection. Write a countermeasure (docs/extending.md), or use a defense "
        "whose adaptive attacker is known.",
    )


def _is_unanswered(case: Case) -> bool:
    missing = bool(case.plan.get("adaptive")) and not case.has_adaptive
    return missing or case.doubted(Doubt.UNANSWERED) > 0


def misspecified_attacker(case: Case, control: Case | None) -> Finding | None:
    """Find attackers whose equations do not explain the upload by the private data."""
    ignores = case.defenses and case.attacker == NAIVE
    approximate = any(r.approximate for r in case.reconstructions)
    if case.explained is not False or ignores or (approximate and case.local_steps > 1):
        return None
    return Finding(
        "the attacker's equations are wrong",
        0.91,
        "Tested with the private data after the attack: they fit the upload to "
        f"{case.truth_misfit or 0:.2g}, and neither rounding nor the noise that this attacker "
        f"expects explains that, while {_zero(control)}.",
        "No search can succeed with these equations, and this failure says nothing about a "
        "defense. Compare the clients' defenses, steps and learning rate with what the attack "
        "assumes, or correct the countermeasure (docs/extending.md).",
    )


def frozen_layers(case: Case, control: Case | None) -> Finding | None:
    """Find models of which a part is not trained, so that it is in no upload."""
    frozen, trained = case.model.frozen, case.model.parameters
    if not frozen:
        return None
    share = frozen / (frozen + trained)
    return Finding(
        "a part of the model is frozen",
        0.65 + 0.2 * share,
        f"{frozen} of {frozen + trained} parameters are not trained, so that their gradients are "
        "in no upload. The attack matched the gradients of the others, which tell less.",
        "Train all layers to test this cause. What the other gradients tell has still leaked: "
        "features of the last layers, and labels.",
    )


def _zero(control: Case | None) -> str:
    """Return a clause on the fit of the control's own data, for comparison."""
    if control is None or control.truth_misfit is None:
        return "there is no control to compare with"
    return f"the control's own data fit to {control.truth_misfit:.2g}"


EQUATIONS = (
    broken_off,
    nothing_to_attack,
    wrong_learning_rate,
    many_local_steps,
    defended_upload,
    no_adaptive_attacker,
    misspecified_attacker,
    frozen_layers,
)
