"""Reason why the private data of a victim do not explain its upload."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fedsim.core.modules import draws
from fedsim.engine.audit.evidence import Evidence
from fedsim.engine.audit.suspicions import SUSPICIONS

FITS = 1e-3
"""Relative objective below which the private data are said to fit, if it also fell by `FALL`."""

FALL = 1e-2
REPEATED = 3.0
"""Misfits up to this multiple of the largest among repetitions are said to be of rounding."""

CHAOTIC = 0.1
"""Misfit above which something was stated wrongly, however much a training amplifies rounding: an
upload then has a tenth of its energy from elsewhere."""


def explanation(evidence: Evidence, replays: Callable[[], Sequence[float]]) -> str:
    """Return the suspicion under which the private data fit the upload, as a sentence.

    Args:
        evidence: the private data, model and upload of a client.
        replays: returns the misfits of the private data to repetitions of the training as it was
            stated, which differ by rounding alone; none after a single step.
    """
    misfit = evidence.misfit()
    cases = [case for suspicion in SUSPICIONS for case in suspicion.cases(evidence)]
    measured = [(changed.misfit(), text) for text, changed in cases]
    best, text = min(measured, key=lambda pair: pair[0], default=(float("inf"), ""))
    said = f"the private data do not explain the upload (misfit {misfit:.2g})"
    if best <= min(FITS, FALL * misfit):
        return f"{said}; they do (misfit {best:.2g}) if {text}"
    if draws(evidence.model, evidence.seen_as_inputs()):
        return (
            f"{said}: dropout draws in the clients' training, which no attacker knows, so that the "
            "attack's equations are an approximation"
        )
    repeated = max(replays(), default=0.0)
    if misfit <= min(REPEATED * repeated, CHAOTIC):
        return (
            f"{said}, but no more do they explain a repetition of the training as it was stated "
            f"(misfit up to {repeated:.2g} if the inputs differ in their last digit): this "
            "training amplifies rounding, so that no attacker's equations explain its uploads to "
            "the last digit. With fewer local steps the audit tells what was stated wrongly, if "
            "anything"
        )
    return (
        f"{said}, nor do they under any suspicion that was tested (the least misfit was "
        f"{best:.2g}); compare optimiser, learning rate and its schedule, batch size, number of "
        "steps, loss, clipping, FedProx's term, augmentation and defenses with what was stated"
    )
