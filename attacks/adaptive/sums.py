"""Adaptive attackers on the mean of several clients' defended uploads.

The mean of the clients' uploads is that of all their examples as one batch, with the mean of the
noise. This is exact for defenses that add noise, or that change the gradient of each example in the
same way for every client. A defense that changes a whole upload acts on each client's part of the
sum, which one gradient of the joint batch does not have: such sums are attacked by nobody who knows
the defenses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.compose import answers_to, compose
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import GaussianLikelihood, LaplacianLikelihood


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
    return None if answer is None else compose(attack, [answer], known.public)


def answer_of_sum(clients: Iterable[Sequence[Answer]]) -> Answer | None:
    """Return the answer to the mean of the clients' uploads; None if their answers do not add up.

    Several independent Laplacian draws have a sum of another shape, which is taken for Gaussian.

    Args:
        clients: of each client in the mean, the answers to its defenses; empty for an undefended
            client, whose part of the mean has no noise.
    """
    chains = []
    for chain in clients:
        if not all(_adds_up(answer) for answer in chain):
            return None
        chains.append(chain)
    changes = [tuple(c for answer in chain for c in answer.per_example) for chain in chains]
    if not chains or any(change != changes[0] for change in changes):
        return None
    answers = [answer for chain in chains for answer in chain]
    noise = [answer for answer in answers if answer.spread is not None]
    std = math.hypot(*(answer.spread or 0.0 for answer in noise)) / len(chains)
    gaussian = all(type(answer.likelihood) is GaussianLikelihood for answer in noise)
    return Answer(
        per_example=changes[0],
        likelihood=GaussianLikelihood(std) if std else None,
        spread=std or None,
        image_noise_std=std or None,
        hides_zeros=bool(std),
        scales=any(answer.scales for answer in answers),
        approximate=not gaussian or any(answer.approximate for answer in answers),
    )


def _adds_up(answer: Answer) -> bool:
    """Whether a defense does no more than change examples' gradients, and add noise to the mean."""
    if answer.wrappers or answer.undo is not None or answer.mixed_labels or answer.reads_levels:
        return False
    if not answer.per_example and (answer.scales or answer.gain != 1):
        return False  # the factor of each client's upload
    if answer.likelihood is None:
        return bool(answer.per_example) or answer == Answer()
    # A likelihood of another type can depend on the value of each client's upload.
    return type(answer.likelihood) in (GaussianLikelihood, LaplacianLikelihood)
