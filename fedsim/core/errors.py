"""Every error that fedsim raises on purpose.

FedsimError
├── ScenarioError       a scenario, or an option given for one, is wrong
├── UnknownNameError    no attack, defense, model, data set or partition has that name
├── DataError           a data set, a picture or a partition cannot be had as asked
├── UploadError         what a client sent cannot be used
├── AttackError         an attack was asked for something that it cannot do
├── PluginError         a plugin file cannot be loaded
└── RunError            a run cannot start or cannot go on

FedsimWarning           something was left out, and the rest goes on

Each message says what was wrong, where, what was expected, and what to do.
"""

import difflib
from collections.abc import Iterable


class FedsimError(Exception):
    """Base of all errors that a user of fedsim can mend."""


class ScenarioError(FedsimError):
    """A scenario, or an option given for one, is wrong."""


class UnknownNameError(FedsimError):
    """A name that no registered thing has."""


class DataError(FedsimError):
    """A data set, a picture or a partition cannot be had as asked."""


class UploadError(FedsimError):
    """What a client sent cannot be used."""


class AttackError(FedsimError):
    """An attack was asked for something that it cannot do."""


class PluginError(FedsimError):
    """A plugin file cannot be loaded."""


class RunError(FedsimError):
    """A run cannot start or cannot go on."""


class FedsimWarning(UserWarning):
    """Something was left out, and the rest goes on."""


def closest(name: str, valid: Iterable[str]) -> str:
    """Return a phrase that offers the nearest valid name, or lists the valid ones.

    Written to stand at the end of an error message.
    """
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "expected one of " + ", ".join(repr(n) for n in names) + "."
