"""Exceptions of fedsim.

FedsimError
├── ScenarioError       a scenario, or an option for a scenario, is invalid
├── UnknownNameError    no attack, defense, model, data set or partition has that name
├── DataError           a data set, a picture or a partition is missing or unusable
├── UploadError         a client's upload is unusable
├── AttackError         an attack does not support the model or the observation
├── PluginError         a plugin file cannot be loaded
└── RunError            a run cannot start or continue

FedsimWarning           something was skipped, and everything else continues

Each message names the problem, its place, the expected value, and a remedy.
"""

import difflib
from collections.abc import Iterable


class FedsimError(Exception):
    """Base of all errors that a user of fedsim can fix."""


class ScenarioError(FedsimError):
    """A scenario, or an option for a scenario, is invalid."""


class UnknownNameError(FedsimError):
    """A name is not registered."""


class DataError(FedsimError):
    """A data set, a picture or a partition is missing or unusable."""


class UploadError(FedsimError):
    """A client's upload is unusable."""


class AttackError(FedsimError):
    """An attack does not support the model or the observation."""


class PluginError(FedsimError):
    """A plugin file cannot be loaded."""


class RunError(FedsimError):
    """A run cannot start or continue."""


class FedsimWarning(UserWarning):
    """Something was skipped, and everything else continues."""


def closest(name: str, valid: Iterable[str]) -> str:
    """Return a phrase that offers the nearest valid name, or lists the valid ones.

    It is meant for the end of an error message.
    """
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "expected one of " + ", ".join(repr(n) for n in names) + "."
