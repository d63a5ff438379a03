"""Contract checks for your own attacks, defenses, models and data sets.

>>> from fedsim.testing import check_defense
>>> check_defense("gaussian-noise")

Each function takes a registered class, or a name, and raises `ContractError` for the first violated
claim. `defense_checks` and similar functions return the claims one by one, for
``pytest.mark.parametrize("check", defense_checks(Mine), ids=str)``. Parameters that have no default
need an example: ``Field(examples=[0.1])``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedsim.core.registry import (
    ATTACKS,
    COUNTERMEASURES,
    DATASETS,
    DEFENSES,
    MANIPULATIONS,
    METRICS,
    MODELS,
)
from fedsim.testing import (
    attacks,
    countermeasures,
    datasets,
    defenses,
    manipulations,
    metrics,
    models,
)
from fedsim.testing.contract import Check, ContractError, checks_of, run_all, subject_of

__all__ = [
    "Check",
    "ContractError",
    "attack_checks",
    "check_attack",
    "check_countermeasure",
    "check_dataset",
    "check_defense",
    "check_manipulation",
    "check_metric",
    "check_model",
    "countermeasure_checks",
    "dataset_checks",
    "defense_checks",
    "manipulation_checks",
    "metric_checks",
    "model_checks",
]


def attack_checks(attack: type[Any] | str, **parameters: Any) -> list[Check]:
    """Return the checks of an attack.

    Args:
        attack: the class, or its registered name.
        parameters: replacements for the example parameters.
    """
    subject = subject_of(ATTACKS, attack, parameters)
    return checks_of(subject, attacks.claims(subject.cls))


def check_attack(attack: type[Any] | str, **parameters: Any) -> None:
    """Check an attack on small victims of each modality that it supports.

    Raises:
        ContractError: a claim does not hold.
    """
    run_all(attack_checks(attack, **parameters))


def defense_checks(defense: type[Any] | str, **parameters: Any) -> list[Check]:
    """Return the checks of a defense; see `attack_checks` for arguments."""
    subject = subject_of(DEFENSES, defense, parameters)
    return checks_of(subject, defenses.claims(subject.cls))


def check_defense(defense: type[Any] | str, **parameters: Any) -> None:
    """Check a defense on uploads and steps of all shapes.

    Raises:
        ContractError: a claim does not hold.
    """
    run_all(defense_checks(defense, **parameters))


def model_checks(model: type[Any] | str, **parameters: Any) -> list[Check]:
    """Return the checks of a model; see `attack_checks` for arguments."""
    subject = subject_of(MODELS, model, parameters)
    return checks_of(subject, models.claims(subject.cls))


def check_model(model: type[Any] | str, **parameters: Any) -> None:
    """Check a model: shapes, seeds, and derivatives of its gradients.

    Raises:
        ContractError: a claim does not hold.
    """
    run_all(model_checks(model, **parameters))


def dataset_checks(
    dataset: type[Any] | str, *, data_dir: Path | None = None, **parameters: Any
) -> list[Check]:
    """Return the checks of a data set; see `attack_checks` for further arguments.

    Args:
        dataset: the class, or its registered name.
        data_dir: folder of its files, if it needs any.
        parameters: replacements for the example parameters.
    """
    subject = subject_of(DATASETS, dataset, parameters)
    return checks_of(subject, datasets.claims(subject.cls, data_dir))


def check_dataset(
    dataset: type[Any] | str, *, data_dir: Path | None = None, **parameters: Any
) -> None:
    """Load and check a data set.

    Raises:
        ContractError: a claim does not hold.
    """
    run_all(dataset_checks(dataset, data_dir=data_dir, **parameters))


def countermeasure_checks(countermeasure: type[Any] | str, **parameters: Any) -> list[Check]:
    """Return the checks of a countermeasure; arguments as those of `attack_checks`.

    The telling parameters are those of the defense that it answers.
    """
    bare = subject_of(COUNTERMEASURES, countermeasure, parameters)
    theirs = countermeasures.telling(bare.cls, bare.name)
    subject = subject_of(COUNTERMEASURES, bare.cls, {**theirs, **parameters})
    return checks_of(subject, countermeasures.claims(bare.cls, bare.name))


def check_countermeasure(countermeasure: type[Any] | str, **parameters: Any) -> None:
    """Check a countermeasure against the defense of the same name.

    Raises:
        ContractError: a claim does not hold.
    """
    run_all(countermeasure_checks(countermeasure, **parameters))


def metric_checks(metric: type[Any] | str, **parameters: Any) -> list[Check]:
    """Return the checks of a metric; arguments as those of `attack_checks`."""
    subject = subject_of(METRICS, metric, parameters)
    return checks_of(subject, metrics.claims(subject.cls))


def check_metric(metric: type[Any] | str, **parameters: Any) -> None:
    """Check a metric on small pictures, or texts.

    Raises:
        ContractError: a claim does not hold.
    """
    run_all(metric_checks(metric, **parameters))


def manipulation_checks(manipulation: type[Any] | str, **parameters: Any) -> list[Check]:
    """Return the checks of a malicious server's manipulation; see `attack_checks`."""
    subject = subject_of(MANIPULATIONS, manipulation, parameters)
    return checks_of(subject, manipulations.claims(subject.cls))


def check_manipulation(manipulation: type[Any] | str, **parameters: Any) -> None:
    """Check a malicious server's manipulation on small models and public pictures.

    Raises:
        ContractError: a claim does not hold.
    """
    run_all(manipulation_checks(manipulation, **parameters))
