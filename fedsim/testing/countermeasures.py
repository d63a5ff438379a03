"""The contract of countermeasures."""

from __future__ import annotations

import dataclasses
from statistics import median
from typing import Any

import torch

from fedsim.attacks import DLG, GradientMatching, Observation
from fedsim.attacks.adaptive import Answer, Countermeasure, Known
from fedsim.attacks.adaptive.compose import compose
from fedsim.clients.defenses import Defense
from fedsim.core.checked import example_of
from fedsim.core.registry import DEFENSES, MODELS
from fedsim.testing.contract import Claim, Subject, expect
from fedsim.testing.victims import PICTURE, Case, defended, pictures

DRAWS, TELLING = 8, 14
"""Number of draws of the defense for each of two clients, and least number of better fits.

By chance alone the private data would fit better so often in one of 500 checks: a sign test on 16
comparisons.
"""


PUBLIC = 8
"""Number of public pictures, which are noise as the private ones are."""


def telling(cls: type[Any], name: str) -> dict[str, Any]:
    """Return the parameters of a countermeasure to the defense or model with its telling ones."""
    answered = _answered(name)
    if answered is None:
        return {}
    known = dataclasses.asdict(answered(**example_of(answered)))
    return {f.name: known[f.name] for f in dataclasses.fields(cls) if f.name in known}


def claims(cls: type[Countermeasure], name: str) -> list[Claim]:
    """Return the claims about a class of countermeasures.

    Args:
        cls: the class.
        name: under which it is registered.
    """
    common: list[Claim] = [
        it_answers_a_defense_or_a_model,
        its_answer_follows_from_what_is_known,
        the_adapted_attack_reconstructs,
    ]
    if name in DEFENSES.names() and not _changes_batches(DEFENSES.get(name)):
        return [
            *common,
            the_private_data_explain_the_upload,
            its_equations_are_those_of_the_defense,
        ]
    return common


def it_answers_a_defense_or_a_model(subject: Subject) -> None:
    """Its name is that of a defense or a model, whose parameters it takes."""
    answered = _answered(subject.name)
    expect(answered is not None, f"no defense and no model is named {subject.name!r}")
    theirs = {f.name for f in dataclasses.fields(answered)} if answered is not None else set()
    foreign = {f.name for f in dataclasses.fields(subject.cls)} - theirs
    expect(not foreign, f"{sorted(foreign)} are not parameters of {subject.name!r}")


def its_answer_follows_from_what_is_known(subject: Subject) -> None:
    """The same knowledge gives the same answer, whose spread is in units of the gradient."""
    for known in (Known(), Known(unit=10.0, upload="update", local_steps=2)):
        first, again = subject.make().answer(known), subject.make().answer(known)
        expect(isinstance(first, Answer), f"answered with a {type(first).__name__}")
        expect(first == again, "the same knowledge gave two answers")


def the_adapted_attack_reconstructs(subject: Subject) -> None:
    """Gradient matching with the answer yields finite pictures of a defended upload."""
    case, attack = pictures("lenet", 1), _adapted(subject)
    for result in attack.run(case.model, _defended(subject, case)):
        expect(result.data is not None, f"no reconstruction: {result.error}")
        expect(result.objective < float("inf"), "the objective is not finite")


def the_private_data_explain_the_upload(subject: Subject) -> None:
    """To the adapted attack, the private data fit defended uploads better than other pictures.

    One draw of noise may favour another picture, many draws do not, unless the noise hides the
    upload: then the examples of the defense's parameters are too strong.
    """
    case, attack = pictures("lenet", 1), _adapted(subject)
    generator = torch.Generator().manual_seed(7)
    better = 0
    fits: list[float] = []
    others: list[float] = []
    for draw in range(DRAWS):
        seen = _defended(subject, case, draw)
        for observation, truth, labels in zip(seen, case.examples, case.labels, strict=True):
            other = torch.rand(truth.shape, generator=generator)
            objective = attack.relative_objective_of
            fits.append(objective(case.model, observation, truth, labels))
            others.append(objective(case.model, observation, other, labels))
            better += fits[-1] < others[-1]
    expect(
        better >= TELLING,
        f"the private data fit better than another picture in {better} of {len(fits)} draws, "
        f"expected {TELLING}; the median relative objective of the private data is "
        f"{median(fits):g}, that of other pictures {median(others):g}; if the defense hides the "
        "upload, give a milder example of its parameters",
    )


def its_equations_are_those_of_the_defense(subject: Subject) -> None:
    """The modelled uncertainty explains defended uploads by the private data, or is declared.

    An attacker of other equations fits anything as well as the truth, and its failure would be
    taken for protection. An answer may say that it is approximate.
    """
    attack, case = _adapted(subject), pictures("lenet", 1)
    for draw in range(0 if attack.approximate else DRAWS):
        seen = _defended(subject, case, draw)
        for observation, truth, labels in zip(seen, case.examples, case.labels, strict=True):
            expect(
                attack.truth_fit(case.model, observation, truth, labels).explained,
                "the private data do not explain a defended upload within the modelled "
                "uncertainty: correct the equations, let the objective's 'explains' say what it "
                "models, or answer with approximate=True",
            )


def _changes_batches(defense: type[Defense]) -> bool:
    """Return whether a defense trains on other data than the private ones."""
    return defense.protect_batch is not Defense.protect_batch


def _answered(name: str) -> type[Any] | None:
    holder = next((r for r in (DEFENSES, MODELS) if name in r.names()), None)
    return None if holder is None else holder.get(name)


def _adapted(subject: Subject) -> GradientMatching:
    public = torch.rand(PUBLIC, *PICTURE, generator=torch.Generator().manual_seed(3))
    return compose(DLG(evaluations=7), [subject.make().answer(Known(public=public))])


def _defended(subject: Subject, case: Case, draw: int = 0) -> list[Observation]:
    """Return the observations of clients with the defense, if it is a defense."""
    if subject.name not in DEFENSES.names():
        return case.observations
    cls = DEFENSES.get(subject.name)
    mine = {f.name for f in dataclasses.fields(cls)}
    given = {k: v for k, v in subject.given.items() if k in mine}
    return defended(case, cls(**{**example_of(cls), **given}), draw)
