"""Composition of the answers to all defenses of a client into one attack.

Wrappers are nested in the order of the defenses. Of the likelihoods the one with the largest spread
is kept: it dominates the others, whether they come before or after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace

from pydantic import ValidationError
from torch import Tensor

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.attacks.adaptive.base import Countermeasure
from fedsim.attacks.adaptive.images import with_image_priors
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.objectives import (
    GaussianLikelihood,
    Objective,
    Wrapper,
    nested,
    unwrapped,
)
from fedsim.core.errors import AttackError
from fedsim.core.registry import COUNTERMEASURES

LEVELS_STAY = 1e-6
"""Maximum noise, as a share of the spread of levels, at which levels remain readable."""


def adapt(
    attack: GradientMatching, countermeasures: Iterable[Countermeasure], known: Known
) -> GradientMatching:
    """Return an attack adapted to defenses.

    Args:
        attack: the naive attack.
        countermeasures: one for each defense that has one, in the order of the defenses; the
            model's countermeasure is the first.
        known: the attacker's other knowledge.

    Raises:
        AttackError: the knowledge is insufficient for a countermeasure.
    """
    return compose(attack, answers_to(countermeasures, known), known.public)


def answers_to(countermeasures: Iterable[Countermeasure], known: Known) -> list[Answer]:
    """Return the answers to the defenses of a client, in order.

    Args:
        countermeasures: see `adapt`.
        known: the attacker's other knowledge.

    Raises:
        AttackError: the knowledge is insufficient for a countermeasure.
    """
    answers = []
    for countermeasure in countermeasures:
        answer = countermeasure.answer(known)
        known = replace(known, gradient_rms=known.gradient_rms * answer.gain)
        answers.append(answer)
    return answers


def compose(
    attack: GradientMatching, answers: Sequence[Answer], public: Tensor | None = None
) -> GradientMatching:
    """Return the attack with the answers to all defenses; the attack itself if they are empty.

    Args:
        attack: the naive attack. Its own wrappers stay outside of all others, its own changes of
            examples' gradients come first, and its own objective does the comparison if no answer
            has a likelihood.
        answers: answers in the order of the defenses.
        public: public images ``(N, C, H, W)`` in [0, 1], to learn priors from.
    """
    wrappers, objective = unwrapped(attack.objective)
    per_example, per_client = attack.per_example, attack.per_client
    kept: Answer | None = None
    for answer in answers:
        per_example = (*per_example, *answer.per_example)
        per_client = answer.per_client or per_client
        if answer.hides_zeros and answer.spread is not None:
            wrappers = [wrapper.above_noise(answer.spread) for wrapper in wrappers]
        wrappers = [*wrappers, *answer.wrappers]
        kept = _larger(_scaled(kept, answer.gain), _behind(wrappers, answer))
    if kept is not None and kept.likelihood is not None:
        objective = kept.likelihood
        if kept.image_noise_std is not None:
            attack = with_image_priors(attack, kept.image_noise_std, public)
    attack = _of_changed_batches(attack, answers)
    composed = replace(
        attack,
        objective=nested(wrappers, objective),
        per_example=per_example,
        per_client=per_client,
        scaled=attack.scaled or any(answer.scales for answer in answers),
        draws=attack.draws or any(answer.draws for answer in answers),
        approximate=attack.approximate or any(answer.approximate for answer in answers),
    )
    return attack if composed == attack else composed


def countermeasures_of(described: Iterable[Mapping[str, object]]) -> list[Countermeasure]:
    """Return the countermeasures to those defenses that have one, in order.

    Args:
        described: name and parameters of each defense; parameters unknown to the countermeasure are
            ignored.

    Raises:
        AttackError: a parameter is missing or has a wrong type.
    """
    known = COUNTERMEASURES.names()
    return [_countermeasure(defense) for defense in described if defense["name"] in known]


def _countermeasure(defense: Mapping[str, object]) -> Countermeasure:
    cls = COUNTERMEASURES.get(str(defense["name"]))
    wanted = {field.name for field in fields(cls)}
    try:
        found: Countermeasure = cls(**{k: v for k, v in defense.items() if k in wanted})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise AttackError(
            f"countermeasure against {defense['name']!r}: parameter {place!r}: {first['msg']}; "
            "give the parameters of the client's defense"
        ) from None
    return found


def _of_changed_batches(attack: GradientMatching, answers: Sequence[Answer]) -> GradientMatching:
    """Return the attack with the answers to defenses that change the batch, the last one first."""
    steps = tuple(answer.undo for answer in reversed(answers) if answer.undo is not None)
    mixed = any(answer.mixed_labels for answer in answers)
    if not steps and not mixed:
        return attack
    return replace(attack, undo=(*steps, *attack.undo), mixed_labels=mixed or attack.mixed_labels)


def _scaled(answer: Answer | None, gain: float) -> Answer | None:
    """Return the answer with its spread after a defense with a gain."""
    if answer is None or answer.spread is None:
        return answer
    return replace(answer, spread=answer.spread * gain)


def _behind(wrappers: Sequence[Wrapper], answer: Answer) -> Answer:
    """Return the answer for a gradient that first passes through the wrappers."""
    if answer.likelihood is None or all(w.pruned_up_to is None for w in wrappers):
        return answer
    return replace(answer, likelihood=answer.likelihood.behind_zeros())


def _larger(before: Answer | None, new: Answer) -> Answer | None:
    """Return the answer whose likelihood explains the upload after both defenses."""
    if new.likelihood is None or new.spread is None:
        return before
    if before is None or before.spread is None or new.spread > before.spread:
        return new
    if before.reads_levels and new.hides_zeros and new.spread > LEVELS_STAY * before.spread:
        both = math.hypot(before.spread, new.spread)
        likelihood: Objective = GaussianLikelihood(both)
        return replace(new, likelihood=likelihood, spread=both, image_noise_std=both)
    return before
