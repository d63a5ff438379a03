"""Plugins: packages found through entry points, and single files named by the user.

A file is code, so it can be named on the command line (``--plugin FILE``) or in a script
(`load_plugin`), but never in a scenario.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from fedsim.core.errors import FedsimWarning, PluginError

_PRIVATE = "_fedsim_plugin"
_LOADED: dict[str, Plugin] = {}


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin file; its text is sent to the processes of a run.

    Attributes:
        path: absolute path of the file.
        sha256: hash of its contents.
        source: its contents.
    """

    path: str
    sha256: str
    source: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name

    def load(self) -> ModuleType:
        """Import the plugin under a private name, unless this process has already done so.

        Raises:
            PluginError: the file's code raised an exception.
        """
        where = hashlib.sha256(self.path.encode()).hexdigest()[:12]
        name = f"{_PRIVATE}_{Path(self.path).stem}_{where}"
        if _LOADED.get(self.path) == self and name in sys.modules:
            return sys.modules[name]
        before, module = sys.modules.get(name), ModuleType(name)
        module.__file__ = self.path
        sys.modules[name] = module  # dataclasses look up their annotations there
        try:
            exec(compile(self.source, self.path, "exec"), vars(module))  # noqa: S102  (the user's own code)
        except Exception as error:
            del sys.modules[name]
            if before is not None:
                sys.modules[name] = before
            raise PluginError(
                f"the plugin {self.path} could not be loaded: {type(error).__name__}: {error}"
            ) from error
        _LOADED[self.path] = self
        return module


def load_plugin(path: Path | str) -> ModuleType:
    """Import a Python file that registers attacks, defenses, models or others.

    The file is imported under a private name. A file that has changed is imported again and
    replaces its earlier registrations.

    Raises:
        PluginError: the file cannot be read, or its code raised an exception.
    """
    place = Path(path).expanduser().absolute()
    try:
        source = place.read_bytes()
    except OSError as error:
        raise PluginError(
            f"the plugin {place} could not be read: {error.strerror or error}; expected a "
            "Python file"
        ) from None
    return Plugin(str(place), hashlib.sha256(source).hexdigest(), source).load()


def loaded_plugins() -> tuple[Plugin, ...]:
    """Return the plugin files that this process has loaded, in the order of loading."""
    return tuple(_LOADED.values())


def load_entry_points(group: str) -> dict[str, str]:
    """Import the modules of an entry-point group; warn about those that fail.

    Returns:
        The errors of plugins that could not be loaded, by name and distribution.
    """
    broken: dict[str, str] = {}
    for entry in entry_points(group=group):
        try:
            entry.load()
        except Exception as error:
            plugin, problem = _named(entry), f"{type(error).__name__}: {error}"
            broken[plugin] = problem
            warnings.warn(
                f"the plugin {plugin} ({entry.value}, in {group}) could not be loaded and is "
                f"skipped: {problem}",
                FedsimWarning,
                stacklevel=2,
            )
    return broken


def _named(entry: EntryPoint) -> str:
    return (
        f"{entry.name!r} of {entry.dist.name} {entry.dist.version}"
        if entry.dist
        else repr(entry.name)
    )
