"""Adaptive attackers on the mean of several clients' defended uploads.

The mean of the clients' uploads is that of all their examples as one batch, with the mean of the
noise. This is exact for defenses that add noise, or that change the gradient of each example in the
same way for every client. A defense that changes a whole upload (clipping, pruning) acts on each
client's part of the sum: there the attacker computes the gradient of each client's dummies, and
changes it as the client does. Rounding is taken for Gaussian noise, which is an approximation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.compose import answers_to, compose
from fedsim.attacks.adaptive.qsgd import RandomRoundingLikelihood
from fedsim.attacks.adaptive.rounding import RoundingTolerance
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import GaussianLikelihood, LaplacianLikelihood

ROUNDING = (RoundingTolerance, RandomRoundingLikelihood)
"""Likelihoods of rounding, whose error hardly depends on the value."""


def adapt_to_sum(
    attack: GradientMatching, clients: Iterable[Iterable[Countermeasure]], known: Known
) -> GradientMatching | None:
    """Return an attack adapted to the defenses behind a mean; None if they do not add up.

    Args:
        attack: the naive attack.
        clients: of each client in the mean, the countermeasures in the order of its defenses.
        known: the attacker's other knowledge, with the number of clients.

    Raises:
        AttackError: the knowledge is insufficient for a countermeasure.
    """
    answer = answer_of_sum(answers_to(chain, known) for chain in clients)
    if answer is None or (answer.per_client and known.local_steps > 1):
        return None  # each client's own steps would have to be followed
    return compose(attack, [answer], known.public)


def answer_of_sum(clients: Iterable[Sequence[Answer]]) -> Answer | None:
    """Return the answer to the mean of the clients' uploads; None if their answers do not add up.

    Several independent Laplacian draws, and rounding errors, have a sum of another shape, which is
    taken for Gaussian.

    Args:
        clients: of each client in the mean, the answers to its defenses; empty for an undefended
            client, whose part of the mean has no noise.
    """
    chains = [list(chain) for chain in clients]
    if not chains or not all(_chain_adds_up(chain) for chain in chains):
        return None
    changes = [tuple(c for answer in chain for c in answer.per_example) for chain in chains]
    if any(change != changes[0] for change in changes):
        return None
    uploads = [tuple(c for answer in chain for c in answer.per_upload) for chain in chains]
    answers = [answer for chain in chains for answer in chain]
    noise = [answer for answer in answers if answer.spread is not None]
    std = math.hypot(*(answer.spread or 0.0 for answer in noise)) / len(chains)
    gaussian = all(type(answer.likelihood) is GaussianLikelihood for answer in noise)
    hides = any(answer.image_noise_std is not None for answer in noise)
    return Answer(
        per_example=changes[0],
        per_client=tuple(uploads) if any(uploads) else (),
        likelihood=GaussianLikelihood(std) if std else None,
        spread=std or None,
        image_noise_std=std if hides and std else None,
        hides_zeros=bool(std),
        scales=any(answer.scales for answer in answers),
        approximate=not gaussian or any(answer.approximate for answer in answers),
    )


def _chain_adds_up(chain: Sequence[Answer]) -> bool:
    """Whether a client changes examples' gradients, then its upload, and then adds noise."""
    noisy = False
    for answer in chain:
        if not _adds_up(answer) or (noisy and (answer.per_example or answer.per_upload)):
            return False
        noisy = noisy or answer.spread is not None
    return True


def _adds_up(answer: Answer) -> bool:
    """Whether a defense does no more than change gradients in a known way, and add noise."""
    if answer.undo is not None or answer.mixed_labels:
        return False
    if answer.wrappers and not answer.per_upload:
        return False
    known = bool(answer.per_example or answer.per_upload)
    if not known and (answer.scales or answer.gain != 1):
        return False  # the factor of each client's upload
    if answer.likelihood is None:
        return known or answer == Answer()
    # A likelihood of another type can depend on the value of each client's upload.
    return type(answer.likelihood) in (GaussianLikelihood, LaplacianLikelihood, *ROUNDING)
